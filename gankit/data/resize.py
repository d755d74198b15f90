"""uint8 images to the run's size: short side resized with antialiasing, then a centre crop."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

LONGEST = 8  # times as long as it has to be, an image is cut before it is resized


def resize(images: Tensor, height: int, width: int) -> Tensor:
    """Images uint8 [n c h w] of any one size to uint8 [n c height width].

    The same pixels come out whether an image is resized alone or in a batch, once or each time it is used.
    """
    old_height, old_width = images.shape[-2:]
    if (old_height, old_width) == (height, width):
        return images
    images = _without_far_ends(images, width / height)
    old_height, old_width = images.shape[-2:]
    scale = max(height / old_height, width / old_width)
    size = (max(height, round(old_height * scale)), max(width, round(old_width * scale)))
    if size != (old_height, old_width):
        # rounded back to 8 bits, so that cached and uncached images agree
        floats = F.interpolate(images.float(), size=size, mode="bilinear", antialias=True, align_corners=False)
        images = floats.round_().clamp_(0, 255).byte()
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return images[..., top : top + height, left : left + width]


def _without_far_ends(images: Tensor, aspect: float) -> Tensor:
    """What a centre crop of width / height = ``aspect`` needs and more: a line of pixels would grow into gigabytes."""
    height, width = images.shape[-2:]
    keep_high, keep_wide = math.ceil(LONGEST * width / aspect), math.ceil(LONGEST * height * aspect)
    if height > keep_high:
        top = (height - keep_high) // 2
        images = images[..., top : top + keep_high, :]
    elif width > keep_wide:
        left = (width - keep_wide) // 2
        images = images[..., left : left + keep_wide]
    return images


def to_float(images: Tensor) -> Tensor:
    """uint8 [n c h w] to floats in [-1, 1]."""
    return images.float().div_(127.5).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """Floats in [-1, 1] to uint8 [n c h w], rounded and clamped."""
    return images.float().add(1).mul_(127.5).round_().clamp_(0, 255).byte()
