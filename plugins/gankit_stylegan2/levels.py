"""The sizes of StyleGAN2's feature maps, derived from the image's, so that no size needs a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import gankit

SMALLEST_BASE = 4
LARGEST_BASE = 7  # one pixel more and the short side could be halved once again
LONGEST_RATIO = 4

RULE = (
    f"both sides must be a power of two (2 or more) times a base whose short side is {SMALLEST_BASE} to "
    f"{LARGEST_BASE} and whose long side is at most {LONGEST_RATIO} times that"
)

Size = tuple[int, int]


class Level(NamedTuple):
    """A feature map.

    Attributes:
        size: height and width in pixels.
        channels: of the feature map.
    """

    size: Size
    channels: int


def levels(image: gankit.ImageSpec, width: int, max_width: int) -> list[Level]:
    """From the smallest feature map, whose short side is 4 to 7 pixels, by doubling to the image's size.

    The largest has ``width`` channels, each smaller one twice as many as the next, up to ``max_width``.

    Raises:
        ValueError: no base gives this size by doubling.
    """
    doublings = _doublings((image.height, image.width))
    if doublings is None:
        nearest = " and ".join(f"{height}x{width}" for height, width in _nearest((image.height, image.width)))
        raise ValueError(
            f"stylegan2 cannot make images of {image.height}x{image.width} (height x width): {RULE}; "
            f"the nearest sizes that work are {nearest}"
        )
    return [
        Level((image.height >> left, image.width >> left), min(width << left, max_width))
        for left in range(doublings, -1, -1)
    ]


def _doublings(size: Size) -> int | None:
    """How often both sides are halved to reach the base, or None if they never do exactly."""
    (height, width), doublings = size, 0
    while min(height, width) > LARGEST_BASE and height % 2 == width % 2 == 0:
        height, width, doublings = height // 2, width // 2, doublings + 1
    short, long = sorted((height, width))
    fits = SMALLEST_BASE <= short <= LARGEST_BASE and long <= LONGEST_RATIO * short
    return doublings if doublings and fits else None


def _nearest(size: Size) -> list[Size]:
    """The nearest size of no larger area, where there is one, and the nearest of a larger one; squares to squares."""
    square = size[0] == size[1]
    candidates = list(_sizes(2 * max(*size, SMALLEST_BASE), square))

    def distance(candidate: Size) -> tuple[int, Size]:
        return abs(candidate[0] - size[0]) + abs(candidate[1] - size[1]), candidate

    area = size[0] * size[1]
    smaller = [candidate for candidate in candidates if candidate[0] * candidate[1] <= area]
    larger = [candidate for candidate in candidates if candidate[0] * candidate[1] > area]
    return [min(side, key=distance) for side in (smaller, larger) if side]


def _sizes(longest: int, square: bool) -> Iterator[Size]:
    """All sizes that work whose short side is not much above ``longest``."""
    scale = 2
    while SMALLEST_BASE * scale <= longest:
        for short in range(SMALLEST_BASE, LARGEST_BASE + 1):
            for long in [short] if square else range(short, LONGEST_RATIO * short + 1):
                yield short * scale, long * scale
                yield long * scale, short * scale
        scale *= 2
