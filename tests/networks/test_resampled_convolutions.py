"""Convolutions fused with resampling equal the two operations that they replace."""

import pytest
import torch
from torch.nn import functional as F

import gankit


def upsampled(images, weight, bias):
    return F.conv2d(F.interpolate(images, scale_factor=2), weight, bias, padding=1)


def downsampled(images, weight, bias):
    return F.avg_pool2d(F.conv2d(images, weight, bias, padding=1), 2)


PAIRS = [(gankit.convolve_upsampled, upsampled), (gankit.convolve_downsampled, downsampled)]


def tensors(dtype, with_bias=True):
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 5, 6, 4), (7, 5, 3, 3), (7,)]
    leaves = [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]
    return [leaf.requires_grad_() for leaf in leaves[: 2 + with_bias]] + [None] * (not with_bias)


def gradients(function, leaves):
    output = function(*leaves)
    scale = torch.linspace(-1, 1, output.numel(), dtype=torch.float64).view(output.shape)
    return [output, *torch.autograd.grad((output * scale).sum(), [leaf for leaf in leaves if leaf is not None])]


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize(("fused", "reference"), PAIRS)
def test_results_and_gradients(fused, reference, with_bias):
    for result, expected in zip(
        gradients(fused, tensors(torch.float64, with_bias)),
        gradients(reference, tensors(torch.float64, with_bias)),
        strict=True,
    ):
        torch.testing.assert_close(result, expected)


@pytest.mark.parametrize(("fused", "reference"), PAIRS)
def test_results_and_gradients_in_bf16(fused, reference):
    exact = gradients(reference, tensors(torch.float64))
    for result, expected in zip(gradients(fused, tensors(torch.bfloat16)), exact, strict=True):
        assert result.dtype == torch.bfloat16
        assert (result - expected).norm() < 0.02 * expected.norm()


def test_second_derivatives():
    images, weight, bias = tensors(torch.float64)
    assert torch.autograd.gradgradcheck(gankit.convolve_upsampled, (images[:1, :, :3, :2], weight, bias))
