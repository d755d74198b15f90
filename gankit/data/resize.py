"""Resizes uint8 images to the run's size, and converts them to floats and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Fit = Literal["crop", "pad", "stretch"]
Window = tuple[float, float]
"""Where to crop: shares in [0, 1) of the possible places, from top to bottom and from left to right."""
MAX_EXCESS = 8  # a side that is longer than the crop needs by more than this factor is cropped before resizing
SMALL_PIXELS = 2**12  # an image of fewer pixels is resized in floats
ALIGNED = 16  # numbers: torch's memory begins at multiples of 64 bytes
CACHED_VALUES = 2**18  # of a batch, which stay in the processor's cache while they are converted


class Placement(NamedTuple):
    """How an image is placed in the run's frame: its size after resizing, and where the frame begins in it.

    ``top`` and ``left`` are negative where the image is padded.
    """

    height: int
    width: int
    top: int
    left: int


def resize(images: Tensor, height: int, width: int, fit: Fit = "crop", window: Window | None = None) -> Tensor:
    """Resize with antialiased bilinear interpolation.

    Images of fewer than 64 x 64 pixels, and those on a GPU, are resized in floats and rounded. Larger ones are resized
    in integers, as Pillow does: in a third of the time, with an error of about one level at most. An image has the same
    result alone and in a batch.

    Args:
        images: uint8 [n c h w] of any size.
        height: of the result, in pixels.
        width: of the result, in pixels.
        fit: for images of another aspect ratio. ``crop`` resizes the short side and crops the center, ``pad`` resizes
            the long side and centers the image on black (transparent black where there is an alpha channel), and
            ``stretch`` resizes both sides.
        window: where ``crop`` crops; None is the center.

    Returns:
        uint8 [n c height width].
    """
    return resize_together([images], [(height, width)], fit, window)[0]


def resize_together(
    fields: Sequence[Tensor], sizes: Sequence[tuple[int, int]], fit: Fit = "crop", window: Window | None = None
) -> list[Tensor]:
    """Resize several pictures of the same scene, so that they stay aligned to the pixel.

    Args:
        fields: uint8 [n c h w] each. The first one decides the crop.
        sizes: height and width of each result, which is the largest for the first field.
        fit: as in `resize`.
        window: as in `resize`.

    Raises:
        ValueError: the fields differ in their aspect ratios.
    """
    if all(field.shape[-2:] == size for field, size in zip(fields, sizes, strict=True)):
        return list(fields)
    if fit == "stretch":
        return [_interpolate(field, *size) for field, size in zip(fields, sizes, strict=True)]
    height, width = sizes[0]
    if fit == "crop":
        fields = [_crop_long_side(field, width / height) for field in fields]
    _require_same_aspect(fields)
    step = height // math.gcd(*(size[0] for size in sizes))
    placement = _place(fields[0].shape[-2:], height, width, fit, window, step)
    return [
        _resized(field, Placement(*(value * size[0] // height for value in placement)), *size)
        for field, size in zip(fields, sizes, strict=True)
    ]


def _place(old: Sequence[int], height: int, width: int, fit: Fit, window: Window | None, step: int) -> Placement:
    """Place an image of the size ``old`` in a frame. All numbers are multiples of ``step``."""
    scales = height / old[0], width / old[1]
    scale = max(scales) if fit == "crop" else min(scales)
    new_height, new_width = (max(1, round(side * scale / step)) * step for side in old)
    if fit == "pad":
        new_height, new_width = min(height, new_height), min(width, new_width)
        spare = (height - new_height) // step, (width - new_width) // step
        return Placement(new_height, new_width, -(spare[0] // 2) * step, -(spare[1] // 2) * step)
    new_height, new_width = max(height, new_height), max(width, new_width)
    spare = (new_height - height) // step, (new_width - width) // step
    if window is None:
        top, left = spare[0] // 2, spare[1] // 2
    else:
        top, left = int(window[0] * (1 + spare[0])), int(window[1] * (1 + spare[1]))
    return Placement(new_height, new_width, top * step, left * step)


def _resized(images: Tensor, placement: Placement, height: int, width: int) -> Tensor:
    """The images in a frame of this size."""
    top, left = placement.top, placement.left
    inner = _interpolate(images, placement.height, placement.width)
    if placement.height < height or placement.width < width:
        padded = images.new_zeros((*images.shape[:2], height, width))
        padded[..., -top : placement.height - top, -left : placement.width - left] = inner
        return padded
    return inner[..., top : top + height, left : left + width]


def _require_same_aspect(fields: Sequence[Tensor]) -> None:
    """Raises: ValueError: the aspect ratios differ by more than a pixel."""
    height, width = fields[0].shape[-2:]
    for field in fields[1:]:
        own_height, own_width = field.shape[-2:]
        if min(abs(own_width - own_height * width / height), abs(own_height - own_width * height / width)) > 1:
            raise ValueError(
                f"{own_height} x {own_width} pixels have another aspect ratio than {height} x {width}; fields that are "
                "not independent show the same scene"
            )


def _interpolate(images: Tensor, height: int, width: int) -> Tensor:
    if images.shape[-2:] == (height, width):
        return images
    if images.device.type == "cpu" and images.shape[-2] * images.shape[-1] >= SMALL_PIXELS:
        return _antialiased(images, height, width)
    # rounded to 8 bits, so that cached and streamed images are equal
    return _antialiased(images.float(), height, width).round_().clamp_(0, 255).byte()


def _antialiased(images: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(images, size=(height, width), mode="bilinear", antialias=True, align_corners=False)


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
    if images.device.type != "cpu" or images.numel() <= CACHED_VALUES:
        return images.float().div_(127.5).sub_(1)
    # by numpy, because torch's threads would wait for the processes that decode the next images; its large arrays are
    # in huge pages, which are faster to fill, but not aligned as those of torch
    memory = np.empty(images.numel() + ALIGNED, np.float32)
    floats = torch.from_numpy(memory[-(memory.ctypes.data // memory.itemsize) % ALIGNED :][: images.numel()])
    floats = floats.as_strided(images.shape, torch.empty_like(images, device="meta").stride())
    for image, converted in zip(images.numpy(), floats.numpy(), strict=True):
        np.divide(image, np.float32(127.5), out=converted, dtype=np.float32)
        np.subtract(converted, 1, out=converted)
    return floats


def to_uint8(images: Tensor) -> Tensor:
    """Convert floats in [-1, 1] to uint8 [n c h w], rounded and clamped."""
    return images.float().add(1).mul_(127.5).round_().clamp_(0, 255).byte()
