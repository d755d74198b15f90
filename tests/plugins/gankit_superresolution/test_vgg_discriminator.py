"""SRGAN's discriminator against functions worked out in the test, and the contract of a discriminator."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gankit
from gankit import testing
from gankit.assembly.dry_run import meta_device
from gankit_superresolution.vgg_discriminator import VGGDiscriminator


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def channels_of(stages: int, width: int) -> list[int]:
    """Of each convolution: twice each of 64, 128, 256, 512, 512, ... at a width of 64."""
    return [width * multiple for multiple in (1, 1, 2, 2, 4, 4, *(8,) * 20)[: 2 * stages]]


@pytest.mark.parametrize(
    ("size", "base", "width", "parameters"),
    [
        ((96, 96), (6, 6), 64, 23_563_649),  # the paper's patches
        ((32, 32), (4, 4), 8, None),
        ((256, 256), (4, 4), 3, None),
        ((14, 28), (7, 14), 2, None),
    ],
)
def test_parameter_counts(size: tuple[int, int], base: tuple[int, int], width: int, parameters: int | None) -> None:
    with torch.device("meta"):
        network = VGGDiscriminator(gankit.ImageSpec(*size, 3), width=width)
    channels = channels_of((size[0] // base[0]).bit_length() - 1, width)
    expected = 27 * width + width + sum(9 * a * b + 2 * b for a, b in pairwise(channels))
    expected += channels[-1] * base[0] * base[1] * 16 * width + 16 * width + 16 * width + 1
    assert count(network) == expected
    assert parameters in (None, expected)


def reference(network: nn.Module, images: Tensor, convolutions: int, training: bool) -> Tensor:
    weights = list(network.state_dict().values())

    def take(number: int) -> list[Tensor]:
        taken, weights[:number] = weights[:number], []
        return taken

    x = images
    for i in range(convolutions):
        weight, *bias = take(1 if i else 2)
        x = F.conv2d(F.pad(x, (1, 1, 1, 1)), weight, *bias)[..., :: 1 + i % 2, :: 1 + i % 2]
        if i:
            scale, shift, mean, var, _ = take(5)
            if training:
                mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
            mean, var, scale, shift = (values[:, None, None] for values in (mean, var, scale, shift))
            x = (x - mean) / (var + 1e-5).sqrt() * scale + shift
        x = torch.maximum(x, 0.2 * x)
    first, bias, second, last = take(4)
    x = x.flatten(1) @ first.T + bias
    assert not weights
    return torch.maximum(x, 0.2 * x) @ second.T + last


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("size", "stages"), [((16, 24), 2), ((80, 80), 4)])
def test_forward_is_the_reference(training: bool, size: tuple[int, int], stages: int) -> None:
    torch.manual_seed(stages)
    network = VGGDiscriminator(gankit.ImageSpec(*size, 3), width=3).double().train(training)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias, 0, 0.3)
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
    images = torch.rand(3, 3, *size, dtype=torch.float64) * 2 - 1
    expected = reference(network, images, 2 * stages, training)
    logits = network(images)
    assert logits.shape == (3, 1)
    torch.testing.assert_close(logits, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [(16, 16), (24, 48)])
def test_it_is_a_discriminator(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    testing.check_discriminator(VGGDiscriminator, gankit.ImageSpec(*size, 1), width=4)


def test_on_the_meta_device_and_in_bf16() -> None:
    with meta_device():
        assert VGGDiscriminator(gankit.ImageSpec(128, 128, 3))(torch.empty(2, 3, 128, 128)).shape == (2, 1)
    with torch.autocast("cpu", torch.bfloat16):
        logits = VGGDiscriminator(gankit.ImageSpec(16, 16, 3), width=4)(torch.rand(4, 3, 16, 16))
    assert bool(logits.isfinite().all())


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"vgg_discriminator cannot .* 100x100 .*sizes that work are 96x96 and 112x112"):
        VGGDiscriminator(gankit.ImageSpec(100, 100, 3))
