"""How FastGAN doubles its way up to an image: derived from the image's size."""

from __future__ import annotations

from typing import NamedTuple

import gankit

SMALLEST_BASE = 4
LARGEST_BASE = 7  # one pixel more and the short side could be halved once again
LONGEST_RATIO = 4
FEWEST_DOUBLINGS, MOST_DOUBLINGS = 2, 8

RULE = (
    f"both sides must be a power of two ({2**FEWEST_DOUBLINGS} to {2**MOST_DOUBLINGS}) times a base whose short side "
    f"is {SMALLEST_BASE} to {LARGEST_BASE} and whose long side is at most {LONGEST_RATIO} times that"
)


class Stages(NamedTuple):
    """The feature maps of a generator.

    Attributes:
        base: height and width of the first one.
        doublings: how often it is doubled until it is as large as the image.
    """

    base: tuple[int, int]
    doublings: int


def stages(image: gankit.ImageSpec) -> Stages:
    """The stages of such images. Raises: ValueError: no base gives this size by doubling."""
    height, width = image.height, image.width
    if found := _stages(height, width):
        return found
    sizes = " and ".join(f"{h}x{w}" for h, w in _nearest(height, width))
    raise ValueError(
        f"fastgan cannot make images of {height}x{width} (height x width): {RULE}; "
        f"the nearest sizes that work are {sizes}"
    )


def _stages(height: int, width: int) -> Stages | None:
    doublings = 0
    while min(height, width) > LARGEST_BASE and height % 2 == 0 and width % 2 == 0:
        height, width, doublings = height // 2, width // 2, doublings + 1
    short, long = sorted((height, width))
    fits = SMALLEST_BASE <= short <= LARGEST_BASE and long <= LONGEST_RATIO * short
    return Stages((height, width), doublings) if fits and FEWEST_DOUBLINGS <= doublings <= MOST_DOUBLINGS else None


def _nearest(height: int, width: int) -> list[tuple[int, int]]:
    """The nearest size of no larger area, where there is one, and the nearest of a larger one; squares for a square."""
    bases = range(SMALLEST_BASE, LARGEST_BASE * LONGEST_RATIO + 1)
    sizes = {
        (h << doublings, w << doublings)
        for doublings in range(FEWEST_DOUBLINGS, MOST_DOUBLINGS + 1)
        for h in bases
        for w in bases
        if _stages(h << doublings, w << doublings) and (height != width or h == w)
    }
    area = height * width
    sides = [size for size in sizes if size[0] * size[1] <= area], [size for size in sizes if size[0] * size[1] > area]
    return [min(side, key=lambda size: (abs(size[0] - height) + abs(size[1] - width), *size)) for side in sides if side]
