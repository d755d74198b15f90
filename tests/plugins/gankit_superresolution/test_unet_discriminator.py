"""Real-ESRGAN's discriminator against functions worked out in the test, and the contract of a discriminator."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gankit
from gankit import testing
from gankit.assembly.dry_run import meta_device
from gankit_superresolution.unet_discriminator import UNetDiscriminator

NORMALIZED = ("down.0", "down.1", "down.2", "up.0", "up.1", "up.2", "refine.0", "refine.1")


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("width", "channels", "parameters"), [(64, 3, 4_376_897), (5, 1, None)])
def test_parameter_counts(width: int, channels: int, parameters: int | None) -> None:
    with torch.device("meta"):
        network = UNetDiscriminator(gankit.ImageSpec(64, 64, channels), width=width)
    square = width * width
    ends = 9 * channels * width + width + 9 * width + 1
    expected = ends + 16 * square * (2 + 8 + 32) + 9 * square * (32 + 8 + 2) + 2 * 9 * square
    assert count(network) == expected
    assert parameters in (None, expected)


def reference(network: nn.Module, images: Tensor) -> Tensor:
    """In eval mode, with the largest singular value as the stored vectors estimate it."""
    weights = dict(network.state_dict())

    def leaky(x: Tensor) -> Tensor:
        return torch.maximum(x, 0.2 * x)

    def plain(x: Tensor, name: str) -> Tensor:
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

    def normalized(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight, u, v = (
            weights[f"{name}.parametrizations.weight.{part}"] for part in ("original", "0._u", "0._v")
        )
        return F.conv2d(x, weight / (u @ weight.flatten(1) @ v), stride=stride, padding=1)

    def doubled(x: Tensor) -> Tensor:
        """Bilinear: a new pixel is 3/4 of its own pixel and 1/4 of the neighbor; borders repeat."""
        for dim in (2, 3):
            before = torch.cat([x.narrow(dim, 0, 1), x.narrow(dim, 0, x.shape[dim] - 1)], dim)
            after = torch.cat([x.narrow(dim, 1, x.shape[dim] - 1), x.narrow(dim, x.shape[dim] - 1, 1)], dim)
            x = torch.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], dim + 1).flatten(dim, dim + 1)
        return x

    x0 = leaky(plain(images, "first"))
    x1 = leaky(normalized(x0, "down.0", 2))
    x2 = leaky(normalized(x1, "down.1", 2))
    x3 = leaky(normalized(x2, "down.2", 2))
    x = leaky(normalized(doubled(x3), "up.0")) + x2
    x = leaky(normalized(doubled(x), "up.1")) + x1
    x = leaky(normalized(doubled(x), "up.2")) + x0
    x = leaky(normalized(leaky(normalized(x, "refine.0")), "refine.1"))
    return plain(x, "last")


@pytest.mark.parametrize("size", [(8, 16), (24, 24)])
def test_forward_is_the_reference(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = UNetDiscriminator(gankit.ImageSpec(*size, 3), width=4).double().eval()
    images = torch.rand(2, 3, *size, dtype=torch.float64) * 2 - 1
    logits = network(images)
    assert logits.shape == (2, 1, *size)
    torch.testing.assert_close(logits, reference(network, images), rtol=1e-12, atol=1e-12)


def test_all_layers_but_the_first_and_last_have_a_spectral_norm_of_1() -> None:
    torch.manual_seed(0)
    network = UNetDiscriminator(gankit.ImageSpec(8, 8, 3), width=4).double()
    for _ in range(150):  # of power iteration
        network(torch.zeros(1, 3, 8, 8, dtype=torch.float64))
    network.eval()
    convolutions = {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}
    assert set(convolutions) == {*NORMALIZED, "first", "last"}
    for name in NORMALIZED:
        assert torch.linalg.matrix_norm(convolutions[name].weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-3)
    assert torch.linalg.matrix_norm(convolutions["first"].weight.flatten(1), 2).item() != pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize("size", [(8, 8), (16, 40)])
def test_it_is_a_discriminator(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    testing.check_discriminator(UNetDiscriminator, gankit.ImageSpec(*size, 1), width=4)


def test_gradient_penalties_are_differentiable() -> None:
    torch.manual_seed(0)
    network = UNetDiscriminator(gankit.ImageSpec(8, 8, 1), width=2).double().eval()
    images = torch.rand(1, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: network(x).square().mean(), images)


def test_on_the_meta_device_and_in_bf16() -> None:
    with meta_device():
        assert UNetDiscriminator(gankit.ImageSpec(64, 64, 3))(torch.empty(2, 3, 64, 64)).shape == (2, 1, 64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        logits = UNetDiscriminator(gankit.ImageSpec(16, 16, 3), width=4)(torch.rand(2, 3, 16, 16))
    assert bool(logits.isfinite().all())


@pytest.mark.parametrize(
    ("size", "nearest"), [((100, 96), "96x96 and 104x96"), ((7, 7), "8x8"), ((17, 30), "16x24 and 24x32")]
)
def test_other_sizes_are_refused(size: tuple[int, int], nearest: str) -> None:
    with pytest.raises(ValueError, match=rf"{size[0]}x{size[1]} .*multiples of 8; .* that work are {nearest}$"):
        UNetDiscriminator(gankit.ImageSpec(*size, 3))
