"""How a DCGAN halves an image: derived from its size, so that no size needs a table."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import gankit

SMALLEST_BASE = 4
LARGEST_BASE = 7  # one pixel more and the short side could be halved once again
LONGEST_RATIO = 4

RULE = (
    f"both sides must be a power of two (2 or more) times a base whose short side is {SMALLEST_BASE} to "
    f"{LARGEST_BASE} and whose long side is at most {LONGEST_RATIO} times that"
)


class Stages(NamedTuple):
    """The feature maps between the base and the image.

    Attributes:
        base: height and width of the smallest feature map.
        widths: channels of each feature map, from the base towards the image; each map is twice as large as the
            one before it, and the image twice as large as the last.
    """

    base: tuple[int, int]
    widths: tuple[int, ...]


def stages(image: gankit.ImageSpec, width: int) -> Stages:
    """The stages of a network for such images; the feature map next to the image has ``width`` channels.

    Raises:
        ValueError: no base gives this size by doubling.
    """
    halvings = _halvings(image.height, image.width)
    if halvings is None:
        sizes = " and ".join(f"{height}x{width}" for height, width in _nearest(image.height, image.width))
        raise ValueError(
            f"dcgan cannot make images of {image.height}x{image.width} (height x width): {RULE}; "
            f"the nearest sizes that work are {sizes}"
        )
    base = (image.height >> halvings, image.width >> halvings)
    return Stages(base, tuple(width << power for power in reversed(range(halvings))))


def _halvings(height: int, width: int) -> int | None:
    """How often both sides are halved to reach the base, or None if they never do exactly."""
    halvings = 0
    while min(height, width) > LARGEST_BASE and height % 2 == 0 and width % 2 == 0:
        height, width, halvings = height // 2, width // 2, halvings + 1
    return halvings if halvings and _fits(height, width) else None


def _fits(height: int, width: int) -> bool:
    """Whether a feature map can be the base."""
    short, long = sorted((height, width))
    return SMALLEST_BASE <= short <= LARGEST_BASE and long <= LONGEST_RATIO * short


def _nearest(height: int, width: int) -> list[tuple[int, int]]:
    """The nearest size of no larger area, where there is one, and the nearest of a larger area.

    A square asks for squares.
    """
    bases = [
        base
        for base in product(range(SMALLEST_BASE, LARGEST_BASE * LONGEST_RATIO + 1), repeat=2)
        if _fits(*base) and (height != width or base[0] == base[1])
    ]
    enough = max(height, width, SMALLEST_BASE).bit_length()
    sizes = [(h << halvings, w << halvings) for halvings in range(1, enough) for h, w in bases]

    def distance(size: tuple[int, int]) -> tuple[int, int, int]:
        return abs(size[0] - height) + abs(size[1] - width), *size

    smaller = [size for size in sizes if size[0] * size[1] <= height * width]
    larger = [size for size in sizes if size[0] * size[1] > height * width]
    return [min(side, key=distance) for side in (smaller, larger) if side]
