"""Upsampling and downsampling against an independent implementation of the filter."""

import pytest
import torch
from torch import Tensor

from gankit_r3gan.resampling import downsample, upsample

TAPS = {"bilinear": [1, 3, 3, 1], "box": [1, 1]}


def matrix(size: int, resampling: str) -> Tensor:
    """The matrix [size/2 size] of downsampling along one axis, with zero padding."""
    taps = TAPS[resampling]
    weights = torch.zeros(size // 2, size, dtype=torch.float64)
    for row in range(size // 2):
        for index, tap in enumerate(taps):
            column = 2 * row + index - (len(taps) - 2) // 2
            if 0 <= column < size:
                weights[row, column] = tap / sum(taps)
    return weights


@pytest.mark.parametrize("resampling", TAPS)
@pytest.mark.parametrize("size", [(2, 2), (8, 6)])
def test_both_apply_the_filter_along_both_axes(resampling: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    down, right = (matrix(side, resampling) for side in size)
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    torch.testing.assert_close(downsample(images, resampling), down @ images @ right.T)
    small = torch.randn(2, 3, size[0] // 2, size[1] // 2, dtype=torch.float64)
    torch.testing.assert_close(upsample(small, resampling), 4 * down.T @ small @ right)


@pytest.mark.parametrize("resampling", ["box", pytest.param("bilinear", marks=pytest.mark.slow)])
@pytest.mark.parametrize("resample", [upsample, downsample])
def test_derivatives_of_both_orders(resampling: str, resample) -> None:
    torch.manual_seed(0)
    images = torch.randn(2, 2, 4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: resample(x, resampling) ** 2, images)
    assert torch.autograd.gradgradcheck(lambda x: resample(x, resampling) ** 2, images)


@pytest.mark.parametrize("resampling", TAPS)
@pytest.mark.parametrize("resample", [upsample, downsample])
def test_dtype_and_memory_format_are_kept(resampling: str, resample) -> None:
    images = torch.rand(2, 4, 4, 4, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        changed = resample(images, resampling)
    assert changed.dtype == torch.bfloat16
    assert changed.is_contiguous(memory_format=torch.channels_last)
