"""The feature maps between a small base and the image, derived from the image's size."""

from __future__ import annotations

from itertools import product
from typing import Literal, NamedTuple

import gankit

Widths = Literal["auto", "constant", "pyramid"]

SHORT = range(4, 8)  # a base one pixel larger could be halved once again
MOST_DOUBLINGS = 12
CIFAR_DOUBLINGS = 3  # from 4 px to 32
MOST_HALVINGS = 4  # of the width, from 1024 channels to 64 in the networks for ImageNet


class Stages(NamedTuple):
    """The feature maps of a network.

    Attributes:
        sizes: height and width of each, from the base to the image; each is twice as large as the one before it.
        widths: channels of each.
        halved: how many of D's blocks halve their feature map; D goes through ``widths`` the other way round.
    """

    sizes: tuple[tuple[int, int], ...]
    widths: tuple[int, ...]
    halved: int

    def places(self, wanted: tuple[int, ...], among: range) -> set[int]:
        """Places in ``sizes`` of the feature maps whose shorter side is one of ``wanted`` pixels.

        Raises:
            ValueError: there is none such ``among`` those places.
        """
        sides = {min(self.sizes[place]): place for place in among}
        if unknown := [side for side in wanted if side not in sides]:
            raise ValueError(
                f"attention: no feature map here has a shorter side of {unknown[0]} pixels; "
                f"choose from {', '.join(map(str, sorted(sides)))}"
            )
        return {sides[side] for side in wanted}


def stages(image: gankit.ImageSpec, width: int, widths: Widths) -> Stages:
    """The stages of a network for such images, whose widest feature map has ``width`` channels.

    Raises:
        ValueError: no base gives this size by doubling.
    """
    doublings = _doublings(image.height, image.width)
    if doublings is None:
        nearest = " and ".join(f"{height}x{width}" for height, width in _nearest(image.height, image.width))
        raise ValueError(
            f"resnet cannot make images of {image.height}x{image.width} (height x width): halving both sides must lead "
            f"to a shorter side of {SHORT[0]} to {SHORT[-1]} pixels; the nearest sizes that work are {nearest}"
        )
    sizes = tuple((image.height >> power, image.width >> power) for power in reversed(range(doublings + 1)))
    if widths == "constant" or (widths == "auto" and doublings <= CIFAR_DOUBLINGS):
        return Stages(sizes, (width,) * (doublings + 1), max(1, doublings - 1))
    wide = max(0, doublings - MOST_HALVINGS)
    narrowing = tuple(max(1, width >> max(0, place - wide)) for place in range(doublings + 1))
    return Stages(sizes, narrowing, doublings)


def _doublings(height: int, width: int) -> int | None:
    """How often a base is doubled to such an image; None if never."""
    for doublings in range(1, MOST_DOUBLINGS + 1):
        if height % 2**doublings == width % 2**doublings == 0 and min(height, width) >> doublings in SHORT:
            return doublings
    return None


def _nearest(height: int, width: int) -> list[tuple[int, int]]:
    """The nearest size of no larger area, where there is one, and the nearest of a larger area; of squares, squares."""
    sizes = [
        size
        for block in (2**doublings for doublings in range(1, MOST_DOUBLINGS + 1))
        for size in product(_multiples(height, block), _multiples(width, block))
        if _doublings(*size) is not None and (height != width or size[0] == size[1])
    ]

    def distance(size: tuple[int, int]) -> tuple[int, int, int]:
        return abs(size[0] - height) + abs(size[1] - width), *size

    smaller = [size for size in sizes if size[0] * size[1] <= height * width]
    larger = [size for size in sizes if size[0] * size[1] > height * width]
    return [min(side, key=distance) for side in (smaller, larger) if side]


def _multiples(side: int, block: int) -> set[int]:
    """Multiples of ``block`` around ``side``, and the shortest and longest that a shorter side may be."""
    below = side // block * block
    return {below, below + block, SHORT[0] * block, SHORT[-1] * block} - {0}
