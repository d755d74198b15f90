"""Sizes and channels of the feature maps between the base and the image, derived from the image size."""

from __future__ import annotations

from typing import Literal, NamedTuple

import gankit

Widths = Literal["auto", "constant", "pyramid"]

MAX_DOUBLINGS = 12
CIFAR_DOUBLINGS = 3  # from 4 to 32 px
MAX_WIDTH_HALVINGS = 4  # from 1024 channels to 64 in the networks for ImageNet


class FeatureMaps(NamedTuple):
    """The feature maps of a network, from the base to the image size.

    Attributes:
        sizes: height and width of each; each map has twice the height and width of the one before.
        widths: channels of each.
        halvings: number of D's blocks that halve their feature map. D uses ``widths`` in reverse order.
    """

    sizes: list[tuple[int, int]]
    widths: tuple[int, ...]
    halvings: int

    def indices(self, short_sides: tuple[int, ...], among: range) -> set[int]:
        """Indices of the feature maps whose short side, in pixels, is one of ``short_sides``.

        Raises:
            ValueError: none of the feature maps with an index in ``among`` has such a short side.
        """
        index_of = {min(self.sizes[index]): index for index in among}
        if unknown := [side for side in short_sides if side not in index_of]:
            raise ValueError(
                f"attention: no feature map has a short side of {unknown[0]} pixels; "
                f"choose from {', '.join(map(str, sorted(index_of)))}"
            )
        return {index_of[side] for side in short_sides}


def feature_maps(image: gankit.ImageSpec, width: int, widths: Widths) -> FeatureMaps:
    """The feature maps for such images; the widest has ``width`` channels.

    Raises:
        ValueError: the image size is not a power of two times a small base.
    """
    sizes = gankit.ImagePyramid("resnet", max_doublings=MAX_DOUBLINGS, max_aspect_ratio=None).sizes(image)
    doublings = len(sizes) - 1
    if widths == "constant" or (widths == "auto" and doublings <= CIFAR_DOUBLINGS):
        return FeatureMaps(sizes, (width,) * len(sizes), max(1, doublings - 1))
    widest = max(0, doublings - MAX_WIDTH_HALVINGS)  # index of the last feature map with ``width`` channels
    pyramid = tuple(max(1, width >> max(0, index - widest)) for index in range(len(sizes)))
    return FeatureMaps(sizes, pyramid, doublings)
