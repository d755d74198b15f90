"""Sizes of images: which are possible, and how images get them."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

import gankit

from .item_random import ItemRandom

Size = tuple[int, int]
Fit = Literal["patch", "crop"]


def checked_size(size: int | Size | None, image: gankit.ImageSpec, scale: int) -> Size:
    """Height and width of the images of a dataset.

    Args:
        size: as in the recipe.
        image: the images of the wrapped dataset.
        scale: both sides must be multiples of it.

    Raises:
        ValueError: the size is not known, or is not a multiple of the scale.
    """
    if size is None and image.height is None:
        raise ValueError("the images of the dataset may have any size: set size, to the image.size of the recipe")
    height, width = (image.height, image.width) if size is None else (size, size) if isinstance(size, int) else size
    if height % scale or width % scale:
        raise ValueError(
            f"images of {height}x{width} (height x width) have no source of 1/{scale} of their size; set size to "
            f"multiples of {scale}: {nearest_multiples((height, width), scale)}"
        )
    return height, width


def nearest_multiples(size: Size, multiple: int) -> str:
    """The nearest sizes whose sides are multiples of a number: a smaller one, if there is one, and a larger one."""
    smaller = (size[0] // multiple * multiple, size[1] // multiple * multiple)
    larger = (-(-size[0] // multiple) * multiple, -(-size[1] // multiple) * multiple)
    return " and ".join(f"{height}x{width}" for height, width in (smaller, larger) if min(height, width) > 0)


def with_size(image: Tensor, size: Size, fit: Fit, random: ItemRandom) -> Tensor:
    """A patch of an image at a random place, or the image resized and cropped to its center.

    An image that is smaller than the patch is resized too.

    Args:
        image: uint8 [c h w].
        size: height and width of the result.
        fit: whether to cut out a ``patch`` or to ``crop`` after resizing.
        random: draws the place.

    Returns:
        uint8 [c *size].
    """
    height, width = size
    spare = image.shape[1] - height, image.shape[2] - width
    if spare == (0, 0):
        return image
    if fit == "crop" or min(spare) < 0:
        return gankit.resize(image[None], height, width)[0]
    top, left = (random.integer(0, places) for places in spare)
    return image[:, top : top + height, left : left + width].clone()
