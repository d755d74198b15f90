"""Layers against direct implementations: grouped convolutions of modulated weights, zeros between pixels."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gankit_stylegan2.discriminator import MinibatchDeviation
from gankit_stylegan2.feature_maps import FeatureMap
from gankit_stylegan2.layers import Downsample, EqualizedConv, EqualizedLinear, Upsample, normalized
from gankit_stylegan2.mapping import Mapping
from gankit_stylegan2.synthesis import StyledLayer, ToImage


def filtered(images: Tensor, before: int, after: int) -> Tensor:
    """Filter each channel with [1 3 3 1] / 8 along both axes, with zero padding."""
    line = torch.tensor([1, 3, 3, 1], dtype=images.dtype) / 8
    n, c, *size = images.shape
    padded = F.pad(images.reshape(n * c, 1, *size), (before, after, before, after))
    result = F.conv2d(F.conv2d(padded, line.view(1, 1, 4, 1)), line.view(1, 1, 1, 4))
    return result.reshape(n, c, *result.shape[2:])


def zeros_between(images: Tensor) -> Tensor:
    n, c, h, w = images.shape
    larger = images.new_zeros(n, c, 2 * h, 2 * w)
    larger[:, :, ::2, ::2] = images
    return larger


def modulated(images: Tensor, weight: Tensor, scales: Tensor, demodulate: bool) -> Tensor:
    """arXiv 1912.04958, eq. 1 and 3, with a separate convolution for each image; weight [o c k k]."""
    weights = weight * scales[:, None, :, None, None]
    if demodulate:
        weights = weights / (weights.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt()
    n, _, h, w = images.shape
    grouped = F.conv2d(images.reshape(1, -1, h, w), weights.flatten(0, 1), padding=weight.shape[-1] // 2, groups=n)
    return grouped.reshape(n, -1, *grouped.shape[2:])


def double(module: torch.nn.Module) -> torch.nn.Module:
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module.double()


@pytest.mark.parametrize("gain", [1.0, 0.5])
@pytest.mark.parametrize("up", [False, True])
def test_a_styled_layer_is_a_modulated_convolution(up: bool, gain: float) -> None:
    torch.manual_seed(0)
    layer = double(StyledLayer(3, FeatureMap((8, 12), 5), 6, up=up, gain=gain))
    images = torch.randn(4, 3, 4, 6) if up else torch.randn(4, 3, 8, 12)
    images, style = images.double(), torch.randn(4, 6).double()
    affine = layer.conv.affine
    scales = style @ affine.weight.t() / math.sqrt(6) + affine.bias
    weight = layer.conv.conv.weight
    expected = modulated_up(images, weight, scales) if up else modulated(images, weight, scales, demodulate=True)
    expected = expected + layer.noise * layer.strength + layer.bias[:, None, None]
    expected = F.leaky_relu(expected, 0.2) * math.sqrt(2) * gain
    torch.testing.assert_close(layer(images, style, "const"), expected, rtol=1e-10, atol=1e-10)


def modulated_up(images: Tensor, weight: Tensor, scales: Tensor) -> Tensor:
    """Zeros between the pixels, the convolution, then 4 times the low-pass filter; weight [c o k k], not flipped."""
    flipped = weight.transpose(0, 1).flip(2, 3)
    # an input pixel affects output pixels 0 to 2 after it, centered at 1
    shifted = F.pad(zeros_between(images), (1, 0, 1, 0))
    return 4 * filtered(modulated(shifted, flipped, scales, demodulate=True), 1, 1)


def test_to_image_modulates_without_demodulation() -> None:
    torch.manual_seed(0)
    layer = double(ToImage(5, 3, 6, clamp=None))
    images, style = torch.randn(2, 5, 4, 4).double(), torch.randn(2, 6).double()
    affine = layer.conv.affine
    scales = (style @ affine.weight.t() / math.sqrt(6) + affine.bias) / math.sqrt(5)
    expected = modulated(images, layer.conv.conv.weight, scales, demodulate=False) + layer.bias[:, None, None]
    torch.testing.assert_close(layer(images, style), expected, rtol=1e-12, atol=1e-12)


def test_noise_per_pixel_with_a_learned_strength() -> None:
    torch.manual_seed(0)
    layer = StyledLayer(3, FeatureMap((8, 8), 4), 6)
    images, style = torch.randn(2, 3, 8, 8), torch.randn(2, 6)
    none = layer(images, style, "none")
    assert torch.equal(layer(images, style, "random"), none)  # its strength starts at zero
    torch.nn.init.constant_(layer.strength, 0.1)
    once, again = layer(images, style, "random"), layer(images, style, "random")
    assert not torch.equal(once, again)
    assert not torch.equal(once, none)
    const = layer(images, style, "const")
    assert torch.equal(const, layer(images, style, "const"))
    assert not torch.equal(const, none)


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_downsampling_convolution_filters_first(kernel: int) -> None:
    torch.manual_seed(0)
    layer = double(EqualizedConv(3, 5, kernel, down=True, gain=0.7))
    images = torch.randn(2, 3, 8, 12).double()
    before = {1: 1, 3: 2}[kernel]
    low = filtered(images, before, before)
    expected = F.conv2d(low, layer.conv.weight / math.sqrt(3 * kernel**2), layer.bias, stride=2)
    expected = F.leaky_relu(expected, 0.2) * math.sqrt(2) * 0.7
    assert expected.shape == (2, 5, 4, 6)
    torch.testing.assert_close(layer(images), expected, rtol=1e-12, atol=1e-12)


def test_resampling() -> None:
    images = torch.randn(2, 3, 4, 6, dtype=torch.float64)
    torch.testing.assert_close(Upsample().double()(images), 4 * filtered(zeros_between(images), 2, 1))
    larger = torch.randn(2, 3, 8, 12, dtype=torch.float64)
    torch.testing.assert_close(Downsample().double()(larger), filtered(larger, 1, 1)[:, :, ::2, ::2])
    flat = torch.ones(1, 1, 16, 16)
    for resampled in (Upsample()(flat), Downsample()(flat)):  # constant images stay constant away from the border
        torch.testing.assert_close(resampled[:, :, 2:-2, 2:-2], torch.ones_like(resampled[:, :, 2:-2, 2:-2]))


def test_learning_rate_factor_of_a_layer() -> None:
    torch.manual_seed(0)
    plain, slow = EqualizedLinear(64, 64, bias=1.0), EqualizedLinear(64, 64, bias=1.0, learning_rate=0.01)
    assert abs(slow.weight.std().item() * 0.01 / plain.weight.std().item() - 1) < 0.1
    features = torch.randn(1000, 64)
    for layer in (plain, slow):  # the same initial output, but 1/100 of the effect of a step
        before = layer(features).detach()
        assert abs(float(before.std()) - 1) < 0.1
        assert abs(float(before.mean()) - 1) < 0.2
        with torch.no_grad():
            layer.bias += 0.5
        change = (layer(features) - before).mean().item()
        assert change == pytest.approx(0.5 if layer is plain else 0.005, rel=1e-3)


def test_mapping_ignores_the_norm_of_the_latent_and_distinguishes_labels() -> None:
    torch.manual_seed(0)
    z = torch.randn(5, 7)
    unconditional, conditional = Mapping(7, 0, 6, 3, 0.01), Mapping(7, 4, 6, 3, 0.01)
    torch.testing.assert_close(unconditional(z), unconditional(3 * z))
    torch.testing.assert_close(normalized(z).square().mean(dim=1), torch.ones(5))
    labels = torch.tensor([0, 1, 2, 3, 0])
    styles = conditional(z[:1].expand(5, -1), labels)
    assert torch.equal(styles[0], styles[4])
    assert len({tuple(style.tolist()) for style in styles}) == 4
    assert conditional.embedding is not None
    with torch.no_grad():
        conditional.embedding.weight *= 3
    torch.testing.assert_close(
        conditional(z[:1].expand(5, -1), labels), styles
    )  # the norm of the label's embedding is ignored too
    with pytest.raises(ValueError, match="built for 4 classes: pass labels"):
        conditional(z)


@pytest.mark.parametrize(("batch", "group", "used"), [(8, 4, 4), (8, 32, 8), (6, 4, 3), (7, 4, 1), (5, 8, 5)])
def test_minibatch_deviation(batch: int, group: int, used: int) -> None:
    torch.manual_seed(0)
    features = torch.randn(batch, 3, 4, 5, dtype=torch.float64)
    result = MinibatchDeviation(group)(features)
    assert torch.equal(result[:, :3], features)
    parts = batch // used
    for first in range(parts):
        members = features[first::parts]
        deviation = (members.var(dim=0, unbiased=False) + 1e-8).sqrt().mean()
        torch.testing.assert_close(result[first::parts, 3], deviation.expand(used, 4, 5))
