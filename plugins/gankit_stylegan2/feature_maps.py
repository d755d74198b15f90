"""Sizes and channels of StyleGAN2's feature maps, derived from the image size."""

from __future__ import annotations

from typing import NamedTuple

import gankit


class FeatureMap(NamedTuple):
    """A feature map.

    Attributes:
        size: height and width in pixels.
        channels: number of channels.
    """

    size: tuple[int, int]
    channels: int


def feature_maps(image: gankit.ImageSpec, width: int, max_width: int) -> list[FeatureMap]:
    """The feature maps from the smallest, with a short side of 4 to 7 pixels, to the image size.

    The largest has ``width`` channels; each smaller one has twice as many, up to ``max_width``.

    Raises:
        ValueError: the image size is not a power of two times a small base.
    """
    sizes = gankit.ImagePyramid("stylegan2").sizes(image)
    return [FeatureMap(size, min(width << halvings, max_width)) for halvings, size in enumerate(reversed(sizes))][::-1]
