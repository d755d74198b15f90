"""Path-length regularization."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

import gankit

Weight = Annotated[gankit.Scheduled, Field(ge=0)]


class PathLength(nn.Module):
    """A step in style space shall change the image by as much everywhere (arXiv 1912.04958, sec. 3.2, eq. 4).

    The length is that of the gradient of a random image's product with G's with respect to the styles, a root mean
    square over layers; it is drawn to its own running average. It is measured on fewer images than a batch has, with
    latents and noise of their own, in full precision. With ``train.microbatch`` the average moves with each part.

    Args:
        weight: of the mean squared distance to the average.
        interval: turns of G from one application to the next.
        decay: share of the new lengths in the average.
        batch_shrink: the batch is smaller by this factor.

    Raises:
        gankit.GankitError: G has no ``styles(z, labels)`` [n l s] and ``synthesis(styles)`` [n c h w].
    """

    average: Tensor

    def __init__(
        self,
        *,
        weight: Weight = 2.0,
        interval: PositiveInt = 4,
        decay: Annotated[float, Field(gt=0, le=1)] = 0.01,
        batch_shrink: PositiveInt = 2,
    ) -> None:
        super().__init__()
        self.weight, self.interval, self.decay, self.batch_shrink = weight, interval, decay, batch_shrink
        self.register_buffer("average", torch.zeros(()))

    def fits(self, generator: nn.Module, output: object, image: gankit.ImageSpec) -> None:
        _with_styles(generator)

    def generator(self, turn: gankit.Turn) -> Tensor:
        network = _with_styles(turn.generator)
        count = max(1, len(turn.real) // self.batch_shrink)
        labels = None if turn.labels is None else turn.labels[:count]
        styles = network.styles(turn.draw_latents(count), labels)
        lengths = path_lengths(network.synthesis(styles), styles)
        with torch.no_grad():  # here and not in ``after``, which follows the turns of losses alone
            self.average.lerp_(turn.mean(lengths.mean()).to(self.average.dtype), self.decay)
            average = self.average.to(lengths.dtype, copy=True)
        return self.weight * (lengths - average).square().mean()


def _with_styles(generator: nn.Module) -> Any:
    if not (hasattr(generator, "styles") and hasattr(generator, "synthesis")):
        raise gankit.GankitError(
            "regularizer 'path_length' needs a generator with styles(z, labels) and synthesis(styles), such as "
            f"stylegan2; {type(generator).__name__} has none: leave path_length out"
        )
    return generator


def path_lengths(images: Tensor, styles: Tensor) -> Tensor:
    """Images [n c h w] and the styles [n l s] that made them to lengths [n]."""
    noise = torch.randn_like(images) / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * noise).sum(), styles, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()
