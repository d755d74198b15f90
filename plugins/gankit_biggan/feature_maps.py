"""Sizes and channels of BigGAN's feature maps, derived from the image size (arXiv 1809.11096, appendix B)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import gankit

MAX_SMALL_DOUBLINGS = 3  # up to this number, as for CIFAR's 32 px, all feature maps have the same width

# Channels of the feature maps by number of doublings, as multiples of the channel multiplier. From the tables of
# appendix B and, for 64 px, from the author's code. G's start at the base, D's at the image.
GENERATOR_MULTIPLIERS = {
    4: (16, 16, 8, 4, 2),
    5: (16, 16, 8, 4, 2, 1),
    6: (16, 16, 8, 8, 4, 2, 1),
    7: (16, 16, 8, 8, 4, 2, 1, 1),
}
DISCRIMINATOR_MULTIPLIERS = {
    4: (1, 2, 4, 8, 16),
    5: (1, 2, 4, 8, 16, 16),
    6: (1, 2, 4, 8, 8, 16, 16),
    7: (1, 1, 2, 4, 8, 8, 16, 16),
}
PYRAMID = gankit.ImagePyramid("biggan", max_doublings=max(GENERATOR_MULTIPLIERS))


class FeatureMaps(NamedTuple):
    """The feature maps of a network.

    Attributes:
        base: height and width of the smallest feature map.
        widths: channels of each feature map. G: of the base and after each block. D: after each block.
        short_sides: short side in pixels of the feature map after each block.
    """

    base: tuple[int, int]
    widths: tuple[int, ...]
    short_sides: tuple[int, ...]


def generator_feature_maps(image: gankit.ImageSpec, width: int, multipliers: Sequence[int] | None) -> FeatureMaps:
    """The feature maps of G: one block for each doubling from the base to the image.

    Raises:
        ValueError: the image size is not a power of two times a small base, or the number of multipliers is wrong.
    """
    base, *larger = PYRAMID.sizes(image)
    default = GENERATOR_MULTIPLIERS.get(len(larger), (4,) * (len(larger) + 1))
    widths = _widths(width, multipliers, default, "the base and each doubling", image)
    return FeatureMaps(base, widths, tuple(min(size) for size in larger))


def discriminator_feature_maps(image: gankit.ImageSpec, width: int, multipliers: Sequence[int] | None) -> FeatureMaps:
    """The feature maps of D: blocks that halve the image, then one or two that keep the size.

    Small images are halved at most twice, others down to the base.

    Raises:
        ValueError: the image size is not a power of two times a small base, or the number of multipliers is wrong.
    """
    sizes = PYRAMID.sizes(image)[::-1]
    doublings = len(sizes) - 1
    halvings, flat = (doublings, 1) if doublings > MAX_SMALL_DOUBLINGS else (min(2, doublings), 2)
    default = DISCRIMINATOR_MULTIPLIERS.get(doublings, (2,) * (halvings + flat))
    widths = _widths(width, multipliers, default, "each block", image)
    base = sizes[halvings]
    return FeatureMaps(base, widths, tuple(min(size) for size in (*sizes[1 : halvings + 1], *[base] * flat)))


def attended_blocks(maps: FeatureMaps, image: gankit.ImageSpec, short_sides: Sequence[int] | None) -> tuple[int, ...]:
    """Indices of the blocks after which self-attention follows: the first block for each of these short sides.

    The default is half of the image's short side, if the output of a block has that size.

    Raises:
        ValueError: no feature map has one of these short sides.
    """
    if short_sides is None:
        short_sides = tuple({min(image.height, image.width) // 2} & set(maps.short_sides))
    if unknown := [side for side in short_sides if side not in maps.short_sides]:
        raise ValueError(
            f"attention at {unknown[0]} px: for images of {image.height}x{image.width}, the short sides of the feature "
            f"maps are {', '.join(map(str, sorted(set(maps.short_sides))))}; choose from these, or use none: []"
        )
    return tuple(maps.short_sides.index(side) for side in sorted(set(short_sides)))


def _widths(
    width: int, multipliers: Sequence[int] | None, default: tuple[int, ...], places: str, image: gankit.ImageSpec
) -> tuple[int, ...]:
    if multipliers is not None and len(multipliers) != len(default):
        raise ValueError(
            f"multipliers: {len(multipliers)} given, but images of {image.height}x{image.width} need {len(default)}, "
            f"for {places}; the default is {list(default)}"
        )
    return tuple(width * multiplier for multiplier in multipliers or default)
