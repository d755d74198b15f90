"""Resampling of images at any affine transformation, filtered against aliasing (arXiv 2006.06676, appendix B).

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width; ``H`` and ``W`` of the padded images, twice enlarged.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

import gankit

from .wavelets import SYM6, reflected

SLACK = len(SYM6) // 2  # pixels beyond the image that the filters of both ways reach


class Resample(nn.Module):
    """Takes images through affine transformations as published.

    They are mirrored at their outermost pixels as far as that goes once, enlarged twice by the low-pass filter of the
    wavelet sym6, sampled bilinearly (zeros beyond), and brought back by the same filter, reversed. As the wavelet is
    orthogonal, an image that does not move comes back as it was. Enlarging and bringing back are linear maps of an
    image's rows and columns, so that products of matrices compute them, their gradients, and the gradients of these.
    """

    enlarge_height: Tensor
    enlarge_width: Tensor
    reduce_height: Tensor
    reduce_width: Tensor

    def __init__(self, image: gankit.ImageSpec) -> None:
        super().__init__()
        for name, side in (("height", image.height), ("width", image.width)):
            self.register_buffer(f"enlarge_{name}", _enlarging(side), persistent=False)  # [H h] and [W w]
            self.register_buffer(f"reduce_{name}", _reducing(side), persistent=False)  # [h 2h+10]

    def forward(self, images: Tensor, matrix: Tensor) -> Tensor:
        """Images [n c h w] to the same shape, whose pixels are taken from where ``matrix`` [n 3 3] says."""
        height, width = images.shape[2:]
        x, y = self.positions(matrix, height, width)
        tall, wide = self.enlarge_height.to(images.dtype), self.enlarge_width.to(images.dtype)
        if images.device.type == "cpu":  # where the values are at hand: nothing that nobody asks for
            (top, tall), (left, wide) = _needed(y, tall), _needed(x, wide)
            x, y = x - left, y - top
        enlarged = tall @ images @ wide.T
        sampled = sample_bilinearly(enlarged, x, y)
        reduce_height, reduce_width = self.reduce_height.to(images.dtype), self.reduce_width.to(images.dtype)
        return reduce_height @ (sampled @ reduce_width.T)

    def positions(self, matrix: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Where to take samples: their x and y, [n 2h+10 2w+10] each, counted in the enlarged images' pixels."""
        x, y = _samples(width, matrix), _samples(height, matrix)
        a, b, right, c, d, down = (2 * matrix[:, i, j, None, None] for i in range(2) for j in range(3))
        y = y[:, None]
        return a * x + (b * y + (right + 3 * (width - 1))), c * x + (d * y + (down + 3 * (height - 1)))


def sample_bilinearly(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Images [n c H W] at ``x`` and ``y`` [n i j], counted in pixels: [n c i j]. Zeros lie beyond the images."""
    height, width = images.shape[2:]
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    sampled: Tensor = _Sampling.apply(images, grid)
    return sampled


class _Sampling(torch.autograd.Function):
    """`grid_sample`, which is linear in the images, with derivatives of any order with respect to these alone."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = images.shape
        return grid_sample(images, grid, align_corners=False)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Transposed.apply(gradient, ctx.saved_tensors[0], ctx.shape), None


class _Transposed(torch.autograd.Function):
    """The transposed map of `_Sampling`, as linear as that."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        images = gradient.new_zeros(shape).requires_grad_()
        with torch.enable_grad():
            sampled = grid_sample(images, grid, align_corners=False)
        return torch.autograd.grad(sampled, images, gradient)[0]

    @staticmethod
    def backward(ctx: Any, images: Tensor) -> tuple[Tensor, None, None]:
        return _Sampling.apply(images, ctx.saved_tensors[0]), None, None


def _samples(side: int, like: Tensor) -> Tensor:
    """Where, in pixels from the centre, samples of a row are wanted: half a pixel apart, [2 side + 10]."""
    return (torch.arange(2 * side + 2 * (SLACK - 1), dtype=like.dtype, device=like.device) - (side + SLACK - 2)) / 2


def _needed(positions: Tensor, enlarging: Tensor) -> tuple[int, Tensor]:
    """The first row of ``enlarging`` that samples at ``positions`` need, and all the rows that they do."""
    low, high = positions.aminmax()
    last = len(enlarging) - 1
    first = min(max(math.floor(float(low)), 0), last)
    return first, enlarging[first : min(max(math.floor(float(high)) + 1, first), last) + 1]


def _enlarging(side: int) -> Tensor:
    """A row of ``side`` pixels to the row mirrored at both ends and enlarged twice: [2(3 side - 2) side]."""
    padded = 3 * side - 2
    taps = torch.tensor(SYM6, dtype=torch.float64) * math.sqrt(2)
    return _filtering(2 * padded, padded, taps) @ _mirroring(side, side - 1)


def _filtering(rows: int, columns: int, taps: Tensor) -> Tensor:
    """Zeros put between pixels, and the ``taps`` over them: output m takes tap k of pixel (m + 5 - k) / 2."""
    source = torch.arange(rows)[:, None] + (len(taps) - 1) // 2 - torch.arange(len(taps))[None]
    known = (source % 2 == 0) & (source >= 0) & (source < 2 * columns)
    index = (source // 2).clamp(0, columns - 1)
    matrix = torch.zeros(rows, columns, dtype=taps.dtype)
    return matrix.scatter_add(1, index, taps * known)


def _mirroring(side: int, margin: int) -> Tensor:
    return torch.eye(side, dtype=torch.float64)[reflected(torch.arange(-margin, side + margin), side)]


def _reducing(side: int) -> Tensor:
    """The samples of a row, as many as its pixels' filters reach, to its ``side`` pixels: [side 2 side + 10].

    The filter is the enlarging one's transpose, so that both together change nothing.
    """
    taps = torch.tensor(SYM6, dtype=torch.float64) / math.sqrt(2)
    return torch.stack([_placed(taps, 2 * pixel, 2 * side + len(taps) - 2) for pixel in range(side)])


def _placed(taps: Tensor, start: int, length: int) -> Tensor:
    row = taps.new_zeros(length)
    row[start : start + len(taps)] = taps
    return row
