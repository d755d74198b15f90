"""ADA's random affine transformations of the image plane (arXiv 2006.06676, appendix B).

Each matrix [n 3 3] maps a position in the output (x to the right, y down, 1), in pixels from the image's center, to the
position in the input that it is sampled from: the inverse of the visible transformation. Of two operations, the matrix
of the first stands on the left.

Shapes: ``n`` images, ``h`` height, ``w`` width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .random_apply import bernoulli

INTEGER_SHIFT = 0.125  # of each side, in both directions
SCALE_STD = 0.2  # of log2
STRETCH_STD = 0.2  # of log2
FRACTIONAL_SHIFT_STD = 0.125  # of each side


def draw_blits(images: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """Draw flip, quarter turn and whole-pixel shift: matrices [n 3 3], and a mask [n] of images with any."""
    height, width = images.shape[2:]
    mirrored = bernoulli(images, p) & (_uniform(images) < 0)
    turned, shifted = bernoulli(images, p), bernoulli(images, p)
    quarters = (torch.rand_like(images[:, 0, 0, 0]) * 4).floor() * turned
    right = (_uniform(images) * INTEGER_SHIFT * width).round() * shifted
    down = (_uniform(images) * INTEGER_SHIFT * height).round() * shifted
    return flip(mirrored.to(images.dtype)) @ quarter_turn(quarters) @ shift(right, down), mirrored | turned | shifted


def draw_geometry(images: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """Draw scale, rotation, stretch, rotation and shift: matrices [n 3 3], and a mask [n] of images with any."""
    height, width = images.shape[2:]
    one_of_two = 1 - (1 - p).sqrt()  # at least one of the two rotations is drawn with probability p
    scaled, before, stretched, after, shifted = (
        bernoulli(images, chosen) for chosen in (p, one_of_two, p, one_of_two, p)
    )
    normal = torch.randn(4, len(images), dtype=images.dtype, device=images.device)
    factor = torch.exp2(normal[0] * SCALE_STD * scaled)
    ratio = torch.exp2(normal[1] * STRETCH_STD * stretched)
    right, down = (normal[2] * width * FRACTIONAL_SHIFT_STD, normal[3] * height * FRACTIONAL_SHIFT_STD)
    matrix = (
        scale(factor, factor)
        @ rotation(_uniform(images) * math.pi * before)
        @ scale(ratio, 1 / ratio)
        @ rotation(_uniform(images) * math.pi * after)
        @ shift(right * shifted, down * shifted)
    )
    return matrix, scaled | before | stretched | after | shifted


def flip(mirrored: Tensor) -> Tensor:
    """Mirror the image horizontally if ``mirrored`` [n] is 1, not if it is 0: [n 3 3]."""
    sign = 1 - 2 * mirrored
    return scale(sign, torch.ones_like(sign))


def quarter_turn(quarters: Tensor) -> Tensor:
    """Rotate the image by ``quarters`` [n] times 90 degrees, counterclockwise, exactly: [n 3 3]."""
    cos = (quarters % 2 == 0).to(quarters) * (1 - quarters % 4)
    sin = (quarters % 2 == 1).to(quarters) * (2 - quarters % 4)
    return _matrix(cos, -sin, sin, cos)


def rotation(angle: Tensor) -> Tensor:
    """Rotate the image by ``angle`` [n] in radians, counterclockwise: [n 3 3]."""
    sin, cos = angle.sin(), angle.cos()
    return _matrix(cos, -sin, sin, cos)


def scale(across: Tensor, down: Tensor) -> Tensor:
    """Magnify by ``across`` [n] in width and ``down`` [n] in height: [n 3 3]."""
    zero = torch.zeros_like(across)
    return _matrix(1 / across, zero, zero, 1 / down)


def shift(right: Tensor, down: Tensor) -> Tensor:
    """Move the image by ``right`` and ``down`` [n] pixels: [n 3 3]."""
    one, zero = torch.ones_like(right), torch.zeros_like(right)
    return _matrix(one, zero, zero, one, -right, -down)


def _matrix(
    a: Tensor, b: Tensor, c: Tensor, d: Tensor, right: Tensor | None = None, down: Tensor | None = None
) -> Tensor:
    zero, one = torch.zeros_like(a), torch.ones_like(a)
    across = zero if right is None else right
    along = zero if down is None else down
    return torch.stack([a, b, across, c, d, along, zero, zero, one], 1).view(-1, 3, 3)


def _uniform(images: Tensor) -> Tensor:
    """Uniform random numbers in [-1, 1) for each image, [n]."""
    return torch.rand(len(images), dtype=images.dtype, device=images.device) * 2 - 1
