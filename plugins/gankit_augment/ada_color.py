"""ADA's color operations, one matrix on homogeneous colors per image (arXiv 2006.06676, appendix B).

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .random_apply import apply_where, bernoulli

BRIGHTNESS_STD = 0.2
CONTRAST_STD = 0.5  # of log2
SATURATION_STD = 1.0  # of log2
RGB = 3


class ColorTransform(nn.Module):
    """Brightness, contrast, luma inversion, hue and saturation.

    Images of one channel skip hue and saturation; their matrix is averaged over the channels of a grey RGB pixel.
    """

    luma: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        luma = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64) / math.sqrt(RGB)
        self.register_buffer("luma", luma, persistent=False)

    def forward(self, images: Tensor, p: Tensor) -> Tensor:
        """Images [n c h w] to the same shape; each operation with probability ``p``."""
        matrix, active = self.draw(images, p)
        return apply_where(active, apply_colors, images, matrix)

    def draw(self, images: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        """Draw matrices [n 4 4], and a mask [n] of the images for which any operation was drawn."""
        brightness, contrast = bernoulli(images, p), bernoulli(images, p)
        active = brightness | contrast
        normal = torch.randn(2, len(images), dtype=images.dtype, device=images.device)
        matrix = shift(torch.where(brightness, normal[0] * BRIGHTNESS_STD, 0))
        matrix = scale(torch.where(contrast, torch.exp2(normal[1] * CONTRAST_STD), 1)) @ matrix
        luma = self.luma.to(images.dtype)
        flipped = bernoulli(images, p) & (torch.rand_like(normal[0]) < 0.5)
        active = active | flipped
        matrix = flip(luma, flipped) @ matrix
        if self.channels == RGB:
            turned, saturated = bernoulli(images, p), bernoulli(images, p)
            active = active | turned | saturated
            angle = (torch.rand_like(normal[0]) * 2 - 1) * math.pi
            matrix = turn(luma, torch.where(turned, angle, 0)) @ matrix
            factor = torch.exp2(torch.randn_like(normal[0]) * SATURATION_STD)
            matrix = saturate(luma, torch.where(saturated, factor, 1)) @ matrix
        return matrix, active


def apply_colors(images: Tensor, matrix: Tensor) -> Tensor:
    """Map the colors of images [n c h w] with one or three channels by ``matrix`` [n 4 4]."""
    linear, offset = matrix[:, :RGB, :RGB], matrix[:, :RGB, RGB:]
    if images.shape[1] == 1:
        linear, offset = linear.sum(2, keepdim=True).mean(1, keepdim=True), offset.mean(1, keepdim=True)
    # not a matrix product, which CUDA may compute in TF32
    colors = offset[..., None]
    for channel, column in enumerate(linear.unbind(2)):
        colors = colors + column[..., None, None] * images[:, channel : channel + 1]
    return colors


def shift(brightness: Tensor) -> Tensor:
    """Add ``brightness`` [n] to each channel: [n 4 4]."""
    matrix = _identity(brightness)
    matrix[:, :RGB, RGB] = brightness[:, None]
    return matrix


def scale(contrast: Tensor) -> Tensor:
    """Multiply each channel by ``contrast`` [n]: [n 4 4]."""
    return torch.diag_embed(_homogeneous(contrast))


def flip(luma: Tensor, flipped: Tensor) -> Tensor:
    """Reflect colors along the ``luma`` axis [4] in images that are ``flipped`` [n]: [n 4 4]."""
    along = torch.outer(luma, luma)
    return torch.eye(4, dtype=luma.dtype, device=luma.device) - 2 * along * flipped.to(luma.dtype)[:, None, None]


def turn(luma: Tensor, angle: Tensor) -> Tensor:
    """Rotate hues by ``angle`` [n] in radians around the ``luma`` axis [4] (Rodrigues' formula): [n 4 4]."""
    x, y, z, _ = luma.unbind()
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, zero, z, zero, -x, zero, -y, x, zero, zero, zero, zero, zero, zero]).view(4, 4)
    sin, cos = angle.sin()[:, None, None], angle.cos()[:, None, None]
    return _identity(angle) + sin * cross + (1 - cos) * (cross @ cross)


def saturate(luma: Tensor, factor: Tensor) -> Tensor:
    """Scale the distance from the ``luma`` axis [4] by ``factor`` [n]: [n 4 4]."""
    along = torch.outer(luma, luma)
    return along + (_identity(factor) - along) * _homogeneous(factor)[:, :, None]


def _homogeneous(factor: Tensor) -> Tensor:
    """``factor`` [n] for the three colors, 1 for the homogeneous coordinate: [n 4]."""
    return torch.stack([factor, factor, factor, torch.ones_like(factor)], 1)


def _identity(like: Tensor) -> Tensor:
    return torch.eye(4, dtype=like.dtype, device=like.device).repeat(len(like), 1, 1)
