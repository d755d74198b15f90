"""Resizes uint8 images to the run's size, and converts them to floats and back."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

Fit = Literal["crop", "pad", "stretch"]
MAX_EXCESS = 8  # a side that is longer than the crop needs by more than this factor is cropped before resizing


def resize(images: Tensor, height: int, width: int, fit: Fit = "crop") -> Tensor:
    """Resize with antialiased bilinear interpolation.

    The result is the same for an image alone and in a batch.

    Args:
        images: uint8 [n c h w] of any size.
        height: of the result, in pixels.
        width: of the result, in pixels.
        fit: for images of another aspect ratio. ``crop`` resizes the short side and crops the center, ``pad`` resizes
            the long side and centers the image on black (transparent black where there is an alpha channel), and
            ``stretch`` resizes both sides.

    Returns:
        uint8 [n c height width].
    """
    if images.shape[-2:] == (height, width):
        return images
    if fit == "stretch":
        return _interpolate(images, height, width)
    if fit == "crop":
        images = _crop_long_side(images, width / height)
    old_height, old_width = images.shape[-2:]
    scales = height / old_height, width / old_width
    scale = max(scales) if fit == "crop" else min(scales)
    scaled = round(old_height * scale), round(old_width * scale)
    if fit == "pad":
        inner_height, inner_width = min(height, max(1, scaled[0])), min(width, max(1, scaled[1]))
        top, left = (height - inner_height) // 2, (width - inner_width) // 2
        padded = images.new_zeros((*images.shape[:2], height, width))
        inner = _interpolate(images, inner_height, inner_width)
        padded[..., top : top + inner_height, left : left + inner_width] = inner
        return padded
    outer_height, outer_width = max(height, scaled[0]), max(width, scaled[1])
    images = _interpolate(images, outer_height, outer_width)
    top, left = (outer_height - height) // 2, (outer_width - width) // 2
    return images[..., top : top + height, left : left + width]


def _interpolate(images: Tensor, height: int, width: int) -> Tensor:
    if images.shape[-2:] == (height, width):
        return images
    size = (height, width)
    # rounded to 8 bits, so that cached and streamed images are equal
    floats = F.interpolate(images.float(), size=size, mode="bilinear", antialias=True, align_corners=False)
    return floats.round_().clamp_(0, 255).byte()


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
