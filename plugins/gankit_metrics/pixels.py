"""The extractor ``pixels``: images reduced to few pixels, for machines without pretrained networks."""

from __future__ import annotations

from pydantic import PositiveInt
from torch import Tensor
from torch.nn import functional as F


class Pixels:
    """The pixels of the image, reduced to at most ``size`` x ``size`` by averaging.

    Their Euclidean distance finds copies of an image, and images of similar colors and layout. It does not measure
    perceived similarity: prefer a pretrained extractor for scores.

    Args:
        size: pixels per side.
    """

    hash = "pixels"  # it has no weights
    resizer = "averages of adjacent pixels"

    def __init__(self, *, size: PositiveInt = 16) -> None:
        self.size = size

    def __call__(self, images: Tensor) -> Tensor:
        """Features fp32 [n f] in [0, 1] of images uint8 [n c h w], with f = c * size * size for larger images."""
        height, width = (min(side, self.size) for side in images.shape[-2:])
        return F.adaptive_avg_pool2d(images.float() / 255, (height, width)).flatten(1)
