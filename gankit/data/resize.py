"""Resizes and crops uint8 images to the run's size, and converts them to floats and back."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

MAX_EXCESS = 8  # a side that is longer than the crop needs by more than this factor is cropped before resizing


def resize(images: Tensor, height: int, width: int) -> Tensor:
    """Resize the short side with antialiased bilinear interpolation, then crop the center.

    The result is the same for an image alone and in a batch.

    Args:
        images: uint8 [n c h w] of any size.
        height: of the result, in pixels.
        width: of the result, in pixels.

    Returns:
        uint8 [n c height width].
    """
    if images.shape[-2:] == (height, width):
        return images
    images = _crop_long_side(images, width / height)
    old_height, old_width = images.shape[-2:]
    scale = max(height / old_height, width / old_width)
    size = (max(height, round(old_height * scale)), max(width, round(old_width * scale)))
    if size != (old_height, old_width):
        # rounded to 8 bits, so that cached and streamed images are equal
        floats = F.interpolate(images.float(), size=size, mode="bilinear", antialias=True, align_corners=False)
        images = floats.round_().clamp_(0, 255).byte()
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return images[..., top : top + height, left : left + width]


def _crop_long_side(images: Tensor, aspect: float) -> Tensor:
    """Crop an extremely long side to a multiple of what a center crop with aspect (width / height) needs.

    Otherwise resizing an image of one row of pixels would take gigabytes.
    """
    height, width = images.shape[-2:]
    max_height, max_width = math.ceil(MAX_EXCESS * width / aspect), math.ceil(MAX_EXCESS * height * aspect)
    if height > max_height:
        top = (height - max_height) // 2
        images = images[..., top : top + max_height, :]
    elif width > max_width:
        left = (width - max_width) // 2
        images = images[..., left : left + max_width]
    return images


def to_float(images: Tensor) -> Tensor:
    """Convert uint8 [n c h w] to floats in [-1, 1]."""
    return images.float().div_(127.5).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """Convert floats in [-1, 1] to uint8 [n c h w], rounded and clamped."""
    return images.float().add(1).mul_(127.5).round_().clamp_(0, 255).byte()
