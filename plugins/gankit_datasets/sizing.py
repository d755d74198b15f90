"""Resizes images before something is made from them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

MAX_ASPECT = 8  # a longer side is cropped before it is resized; otherwise a row of pixels would take gigabytes


class Sizing(NamedTuple):
    """The size that images are brought to.

    Attributes:
        short_side: in pixels; None keeps the size.
        divisor: height and width are cropped to multiples of it.
    """

    short_side: int | None
    divisor: int

    def result(self, height: int, width: int) -> tuple[int, int]:
        """The height and width of an image of this size in the end. They may be 0."""
        height, width = self._scaled(height, width)
        return height - height % self.divisor, width - width % self.divisor

    def __call__(self, images: Tensor) -> Tensor:
        """Resize images uint8 [n c h w] with antialiased bilinear interpolation, and crop their center."""
        old = images.shape[-2:]
        scaled, result = self._scaled(*old), self.result(*old)
        if self.short_side is not None:
            images = _cropped(images, *(min(side, MAX_ASPECT * min(old)) for side in old))
        if scaled != tuple(images.shape[-2:]):
            floats = F.interpolate(images.float(), size=scaled, mode="bilinear", antialias=True, align_corners=False)
            images = floats.round_().clamp_(0, 255).to(torch.uint8)
        return _cropped(images, *result)

    def _scaled(self, height: int, width: int) -> tuple[int, int]:
        if self.short_side is None:
            return height, width
        short = min(height, width)
        height, width = (round(min(side / short, MAX_ASPECT) * self.short_side) for side in (height, width))
        return height, width


def _cropped(images: Tensor, height: int, width: int) -> Tensor:
    top, left = (images.shape[-2] - height) // 2, (images.shape[-1] - width) // 2
    return images[..., top : top + height, left : left + width]
