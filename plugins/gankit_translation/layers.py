"""Normalization and initial weights of the networks."""

from __future__ import annotations

from typing import Literal

from torch import nn

Norm = Literal["batch", "instance"]


def normalization(norm: Norm, channels: int) -> nn.Module:
    """The layer called ``norm``. As in the authors' code, instance normalization has no parameters.

    It is group normalization with a group for each channel: the gradient of `torch.nn.InstanceNorm2d` is wrong for one
    image in channels_last layout (torch 2.14).
    """
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(channels, channels, affine=False)


def needs_bias(norm: Norm) -> bool:
    """Whether convolutions followed by this normalization have a bias in the authors' code.

    It has no effect, because the normalization subtracts it. It is kept where the published networks have it, so that
    their parameter counts and weights fit.
    """
    return norm == "instance"


def require_no_running_averages(generator: nn.Module, what: str) -> None:
    """Check that G may be run on images of another domain than that of its sources.

    Args:
        generator: G or a part of it.
        what: runs it so, for the message.

    Raises:
        ValueError: BatchNorm would mix the statistics of both domains in the running averages that samples use.
    """
    if any(
        isinstance(part, nn.modules.batchnorm._BatchNorm) and part.track_running_stats for part in generator.modules()
    ):
        raise ValueError(
            f"{what} runs the generator on images of both domains, whose statistics BatchNorm would mix in the running "
            "averages that samples use; set generator.norm: instance"
        )


def initialize(module: nn.Module) -> None:
    """Initialize a layer as the authors do: weights N(0, 0.02), those of BatchNorm N(1, 0.02), biases 0."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
