"""How BigGAN doubles and halves an image: from its size alone (arXiv 1809.11096, appendix B)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import gankit

SMALLEST_BASE = 4
LARGEST_BASE = 7  # one pixel more and the short side could be halved once again
LONGEST_RATIO = 4
SMALL = 3  # up to so many doublings, as CIFAR's 32 px take, all feature maps are equally wide

# Widths of feature maps by doublings, in multiples of the channel multiplier: the appendix's tables, and for 64 px,
# which it does not have, what its author's code takes. G's are from the base on, D's from the image on.
GENERATOR = {4: (16, 16, 8, 4, 2), 5: (16, 16, 8, 4, 2, 1), 6: (16, 16, 8, 8, 4, 2, 1), 7: (16, 16, 8, 8, 4, 2, 1, 1)}
DISCRIMINATOR = {
    4: (1, 2, 4, 8, 16),
    5: (1, 2, 4, 8, 16, 16),
    6: (1, 2, 4, 8, 8, 16, 16),
    7: (1, 1, 2, 4, 8, 8, 16, 16),
}
DEEPEST = max(GENERATOR)

RULE = (
    f"both sides must be a power of two (2 to {2**DEEPEST}) times a base whose short side is {SMALLEST_BASE} to "
    f"{LARGEST_BASE} and whose long side is at most {LONGEST_RATIO} times that"
)


class Stages(NamedTuple):
    """Feature maps of one network.

    Attributes:
        base: height and width of the smallest feature map.
        widths: channels of each feature map. G: of the base and after each block. D: after each block.
        sizes: short side of the feature map after each block, in pixels.
    """

    base: tuple[int, int]
    widths: tuple[int, ...]
    sizes: tuple[int, ...]


def generator_stages(image: gankit.ImageSpec, width: int, multipliers: Sequence[int] | None) -> Stages:
    """A block for each doubling from the base to the image.

    Raises:
        ValueError: no base gives this size by doubling, or there are not as many multipliers as feature maps.
    """
    doublings = _doublings(image)
    usual = GENERATOR.get(doublings, (4,) * (doublings + 1))
    widths = _widths(width, multipliers, usual, "the base and each doubling", image)
    base = (image.height >> doublings, image.width >> doublings)
    return Stages(base, widths, tuple(min(base) << power for power in range(1, doublings + 1)))


def discriminator_stages(image: gankit.ImageSpec, width: int, multipliers: Sequence[int] | None) -> Stages:
    """Blocks that halve the image, to the base or, where it is small, twice; then one block or two at that size.

    Raises:
        ValueError: no base gives this size by doubling, or there are not as many multipliers as blocks.
    """
    doublings = _doublings(image)
    halvings, flat = (doublings, 1) if doublings > SMALL else (min(2, doublings), 2)
    usual = DISCRIMINATOR.get(doublings, (2,) * (halvings + flat))
    widths = _widths(width, multipliers, usual, "each block", image)
    short = min(image.height, image.width)
    sizes = [short >> power for power in range(1, halvings + 1)]
    return Stages((image.height >> halvings, image.width >> halvings), widths, (*sizes, *[sizes[-1]] * flat))


def attended(stages: Stages, image: gankit.ImageSpec, attention: Sequence[int] | None) -> tuple[int, ...]:
    """The blocks, by index, that self-attention follows: the first of each of these sizes.

    By default it is half of the image's size, if a block gives that.

    Raises:
        ValueError: no feature map is of such a size.
    """
    if attention is None:
        attention = tuple({min(image.height, image.width) // 2} & set(stages.sizes))
    if unknown := [size for size in attention if size not in stages.sizes]:
        raise ValueError(
            f"attention at {unknown[0]} px: for images of {image.height}x{image.width}, the short sides of the feature "
            f"maps are {', '.join(map(str, sorted(set(stages.sizes))))}; name one of these, or none: []"
        )
    return tuple(stages.sizes.index(size) for size in sorted(set(attention)))


def _widths(
    width: int, given: Sequence[int] | None, usual: tuple[int, ...], of_what: str, image: gankit.ImageSpec
) -> tuple[int, ...]:
    if given is not None and len(given) != len(usual):
        raise ValueError(
            f"{len(given)} multipliers: images of {image.height}x{image.width} take {len(usual)}, "
            f"for {of_what}; by default they are {list(usual)}"
        )
    return tuple(width * multiplier for multiplier in given or usual)


def _doublings(image: gankit.ImageSpec) -> int:
    """How often the base is doubled. Raises: ValueError, where none gives this size."""
    height, width, doublings = image.height, image.width, 0
    while min(height, width) > LARGEST_BASE and height % 2 == 0 and width % 2 == 0:
        height, width, doublings = height // 2, width // 2, doublings + 1
    if 1 <= doublings <= DEEPEST and _fits(height, width):
        return doublings
    sizes = " and ".join(f"{height}x{width}" for height, width in _nearest(image.height, image.width))
    raise ValueError(
        f"biggan cannot make images of {image.height}x{image.width} (height x width): {RULE}; "
        f"the nearest sizes that work are {sizes}"
    )


def _fits(height: int, width: int) -> bool:
    """Whether a feature map can be the base."""
    short, long = sorted((height, width))
    return SMALLEST_BASE <= short <= LARGEST_BASE and long <= LONGEST_RATIO * short


def _nearest(height: int, width: int) -> list[tuple[int, int]]:
    """The nearest size of no larger area, and of a larger one, where there is one; a square asks for squares."""
    bases = [
        base
        for base in product(range(SMALLEST_BASE, LARGEST_BASE * LONGEST_RATIO + 1), repeat=2)
        if _fits(*base) and (height != width or base[0] == base[1])
    ]
    sizes = [(h << doublings, w << doublings) for doublings in range(1, DEEPEST + 1) for h, w in bases]

    def distance(size: tuple[int, int]) -> tuple[int, int, int]:
        return abs(size[0] - height) + abs(size[1] - width), *size

    smaller = [size for size in sizes if size[0] * size[1] <= height * width]
    larger = [size for size in sizes if size[0] * size[1] > height * width]
    return [min(side, key=distance) for side in (smaller, larger) if side]
