"""Affine resampling of images, filtered against aliasing (arXiv 2006.06676, appendix B).

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width; ``H`` and ``W`` of the padded, upsampled images.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

import gankit

from .wavelets import SYM6, reflected

SLACK = len(SYM6) // 2  # border pixels that both filters reach
CHUNK = 8  # images upsampled at a time on a CPU, so that they stay in its cache


class AffineResampling(nn.Module):
    """Applies affine transformations to images as published.

    Images are extended by one reflection, upsampled by 2 with the low-pass filter of the wavelet sym6, sampled
    bilinearly (zeros beyond), and downsampled with the reversed filter. The wavelet is orthogonal, so the identity
    leaves an image unchanged. Up- and downsampling are linear maps of an image's rows and columns, so matrix products
    compute them and their first and second derivatives.
    """

    upsample_height: Tensor
    upsample_width: Tensor
    downsample_height: Tensor
    downsample_width: Tensor

    def __init__(self, image: gankit.ImageSpec) -> None:
        super().__init__()
        for name, side in (("height", image.height), ("width", image.width)):
            self.register_buffer(f"upsample_{name}", _upsampling(side), persistent=False)  # [H h] and [W w]
            self.register_buffer(f"downsample_{name}", _downsampling(side), persistent=False)  # [h 2h+10]

    def forward(self, images: Tensor, matrix: Tensor) -> Tensor:
        """Sample images [n c h w] at the positions that ``matrix`` [n 3 3] maps their pixels to."""
        if images.device.type != "cpu":
            return self.through(images, *self.positions(matrix, images))
        # crop the upsampled image to what is needed, together for images that need regions of similar size
        x, y = self.positions(matrix, images)
        spread = (x.amax(1) - x.amin(1) + y.amax(1) - y.amin(1)).amax(1)
        order = spread.argsort()
        parts = [self.through(images[rows], x[rows], y[rows], cropped=True) for rows in order.split(CHUNK)]
        return torch.cat(parts)[order.argsort()]

    def positions(self, matrix: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        """Sampling positions x and y in pixels of the upsampled images, as the sum of two terms.

        The first depends on the sample's column, [n 2w+10 2], the second on its row, [n 2h+10 2].
        """
        height, width = images.shape[2:]
        origin = _pair(3 * (width - 1), 3 * (height - 1), matrix)
        of_column = 2 * matrix[:, None, :2, 0] * _samples(width, matrix)
        of_row = 2 * matrix[:, None, :2, 1] * _samples(height, matrix)
        return of_column, of_row + (2 * matrix[:, None, :2, 2] + origin)

    def through(self, images: Tensor, of_column: Tensor, of_row: Tensor, cropped: bool = False) -> Tensor:
        """Upsample images [n c h w], sample them at the sums of the two terms, and downsample."""
        tall, wide = self.upsample_height.to(images.dtype), self.upsample_width.to(images.dtype)
        if cropped:
            low, high = of_column.amin(1) + of_row.amin(1), of_column.amax(1) + of_row.amax(1)
            left, wide = _needed(low[:, 0], high[:, 0], wide)
            top, tall = _needed(low[:, 1], high[:, 1], tall)
            of_row = of_row - torch.stack([left, top], 1)[:, None]
        upsampled = tall @ images @ wide.mT
        sampled = sample_bilinearly(upsampled, of_column, of_row)
        return self.downsample_height.to(images.dtype) @ (sampled @ self.downsample_width.to(images.dtype).T)


def sample_bilinearly(images: Tensor, of_column: Tensor, of_row: Tensor) -> Tensor:
    """Sample images [n c H W] at positions in pixels, to [n c i j]; outside of the images there are zeros.

    Args:
        images: any.
        of_column: term of x and y that depends on the sample's column, [n j 2].
        of_row: term of x and y that depends on the sample's row, [n i 2].
    """
    if torch.are_deterministic_algorithms_enabled():  # on CUDA, grid_sample has no deterministic gradient
        return _gathered(images, *(of_column[:, None] + of_row[:, :, None]).unbind(3))
    size = _pair(images.shape[3], images.shape[2], images)
    grid = (of_column * 2 / size)[:, None] + ((of_row * 2 + 1) / size - 1)[:, :, None]
    sampled: Tensor = _Sampling.apply(images, grid)
    return sampled


def _gathered(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """As `sample_bilinearly`, from positions [n i j], by indexing: slower but deterministic."""
    height, width = images.shape[2:]
    left, top = x.floor(), y.floor()
    sampled = images.new_zeros(())
    for column, across in ((left, left + 1 - x), (left + 1, x - left)):
        for row, along in ((top, top + 1 - y), (top + 1, y - top)):
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            index = row.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
            pixels = images.flatten(2).gather(2, index.flatten(1)[:, None].expand(-1, images.shape[1], -1))
            sampled = sampled + pixels.unflatten(2, index.shape[1:]) * (across * along * inside)[:, None]
    return sampled


class _Sampling(torch.autograd.Function):
    """`grid_sample` with derivatives of any order with respect to the images, in which it is linear."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        leaf = images.detach().requires_grad_(ctx.needs_input_grad[0])
        with torch.enable_grad():
            sampled = grid_sample(leaf, grid, align_corners=False)
        ctx.transposed = lambda gradient: torch.autograd.grad(sampled, leaf, gradient, retain_graph=True)[0]
        return sampled.detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Transposed.apply(gradient, ctx.saved_tensors[0], ctx.transposed), None


class _Transposed(torch.autograd.Function):
    """The transpose of `_Sampling`, which is linear as well."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, grid: Tensor, transposed: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(grid)
        return transposed(gradient)

    @staticmethod
    def backward(ctx: Any, images: Tensor) -> tuple[Tensor, None, None]:
        return _Sampling.apply(images, ctx.saved_tensors[0]), None, None


def _pair(x: int, y: int, like: Tensor) -> Tensor:
    """x and y as a tensor [2], computed on the device, since a copy from the host would wait for it."""
    return x + (y - x) * torch.arange(2, dtype=like.dtype, device=like.device)


def _samples(side: int, like: Tensor) -> Tensor:
    """Positions of the samples of a row in pixels from the center, half a pixel apart, [2 side + 10 1]."""
    count = 2 * side + 2 * (SLACK - 1)
    return ((torch.arange(count, dtype=like.dtype, device=like.device) - (side + SLACK - 2)) / 2)[:, None]


def _needed(low: Tensor, high: Tensor, upsampling: Tensor) -> tuple[Tensor, Tensor]:
    """For samples from ``low`` to ``high`` [n]: the first row of ``upsampling`` [H h], [n], and the rows [n 1 k h]."""
    last = len(upsampling) - 1
    first = low.floor().long().clamp(0, last)
    end = (high.floor().long() + 1).clamp(0, last)
    count = int((end - first).amax()) + 1
    first = first.clamp(max=last + 1 - count)
    return first, upsampling[first[:, None] + torch.arange(count)][:, None]


def _upsampling(side: int) -> Tensor:
    """The matrix that reflects a row of ``side`` pixels at both ends and upsamples it: [2(3 side - 2) side].

    Upsampling inserts zeros between the pixels; output m takes tap k of pixel (m + 5 - k) / 2.
    """
    taps = torch.tensor(SYM6, dtype=torch.float64) * math.sqrt(2)
    padded = 3 * side - 2
    source = torch.arange(2 * padded)[:, None] + SLACK - 1 - torch.arange(len(taps))
    known = (source % 2 == 0) & (source >= 0) & (source < 2 * padded)
    pixel = reflected(source.div(2, rounding_mode="floor") - (side - 1), side)
    return torch.zeros(2 * padded, side, dtype=taps.dtype).scatter_add(1, pixel, taps * known)


def _downsampling(side: int) -> Tensor:
    """The matrix that downsamples the samples of a row, within reach of its filters, to ``side`` pixels.

    Its filter is the transpose of the upsampling filter, so both together are the identity: [side 2 side + 10].
    """
    taps = torch.tensor(SYM6, dtype=torch.float64) / math.sqrt(2)
    sample = 2 * torch.arange(side)[:, None] + torch.arange(len(taps))
    return torch.zeros(side, 2 * (side + SLACK - 1), dtype=taps.dtype).scatter_add(1, sample, taps.expand(side, -1))
