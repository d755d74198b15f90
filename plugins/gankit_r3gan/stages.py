"""How often an image is halved: derived from its size, so that no size needs a table."""

from __future__ import annotations

from typing import NamedTuple

import gankit

SMALLEST_BASE = 4
LARGEST_BASE = 7  # one pixel more and the short side could be halved once again
LONGEST_RATIO = 4
MOST_HALVINGS = 12


class Stages(NamedTuple):
    """The feature maps, from the smallest up to that of the image.

    Attributes:
        base: height and width of the smallest.
        widths: channels of each; each is twice as large as the one before it.
        blocks: residual blocks in each.
    """

    base: tuple[int, int]
    widths: tuple[int, ...]
    blocks: tuple[int, ...]


def stages(image: gankit.ImageSpec, patch: int, width: int | tuple[int, ...], blocks: int | tuple[int, ...]) -> Stages:
    """The stages of a network for such images.

    Args:
        image: the images.
        patch: pixels a side that one pixel of the largest feature map stands for.
        width: channels of all stages, or of each.
        blocks: residual blocks of all stages, or of each.

    Raises:
        ValueError: no base gives this size by doubling, or there are not as many widths or blocks as stages.
    """
    halvings = _halvings(image.height, image.width, patch)
    if halvings is None:
        sizes = " and ".join(f"{h}x{w}" for h, w in _nearest(image.height, image.width, patch))
        raise ValueError(
            f"r3gan cannot make images of {image.height}x{image.width} (height x width): both sides must be a power "
            f"of two times a base whose short side is {SMALLEST_BASE} to {LARGEST_BASE} and whose long side is at "
            f"most {LONGEST_RATIO} times that{f', times the patch of {patch}' if patch > 1 else ''}; "
            f"the nearest sizes that work are {sizes}"
        )
    base = (image.height // patch >> halvings, image.width // patch >> halvings)
    return Stages(base, _each("width", width, base, halvings + 1), _each("blocks", blocks, base, halvings + 1))


def _each(name: str, value: int | tuple[int, ...], base: tuple[int, int], count: int) -> tuple[int, ...]:
    """One value a stage."""
    if isinstance(value, int):
        return (value,) * count
    if len(value) != count:
        maps = ", ".join(f"{base[0] << i}x{base[1] << i}" for i in range(count))
        given, wanted = "is" if len(value) == 1 else "are", "stage" if count == 1 else "stages"
        raise ValueError(
            f"{name}: {len(value)} {given} given, and such images take {count} {wanted} ({maps}); "
            f"give {count}, from the smallest up, or a single number for all of them"
        )
    return value


def _halvings(height: int, width: int, patch: int) -> int | None:
    """How often both sides are halved to reach the base, or None if they never do exactly."""
    if height % patch or width % patch:
        return None
    height, width, halvings = height // patch, width // patch, 0
    while min(height, width) > LARGEST_BASE and height % 2 == 0 and width % 2 == 0:
        height, width, halvings = height // 2, width // 2, halvings + 1
    return halvings if _fits(height, width) else None


def _fits(height: int, width: int) -> bool:
    """Whether a feature map can be the base."""
    short, long = sorted((height, width))
    return SMALLEST_BASE <= short <= LARGEST_BASE and long <= LONGEST_RATIO * short


def _nearest(height: int, width: int, patch: int) -> list[tuple[int, int]]:
    """The nearest size of no larger area, where there is one, and the nearest of a larger area.

    A square asks for squares.
    """
    sides = range(SMALLEST_BASE, LARGEST_BASE * LONGEST_RATIO + 1)
    bases = [(h, w) for h in sides for w in sides if _fits(h, w) and (height != width or h == w)]
    sizes = [(h * patch << k, w * patch << k) for k in range(MOST_HALVINGS + 1) for h, w in bases]

    def distance(size: tuple[int, int]) -> tuple[int, int, int]:
        return abs(size[0] - height) + abs(size[1] - width), *size

    smaller = [size for size in sizes if size[0] * size[1] <= height * width]
    larger = [size for size in sizes if size[0] * size[1] > height * width]
    return [min(side, key=distance) for side in (smaller, larger) if side]
