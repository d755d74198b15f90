"""Memorization: generated images that repeat training images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from .collected_features import CollectsFeatures, require_images

LISTED = 5
ROWS = 256
"""Images whose distances to all real images are computed at a time: 100 MB for 50,000 real images."""

SAME = 1e-5
"""Distance of features that count as equal, relative to their length: rounding differs between batches."""


class Memorization(CollectsFeatures):
    """The share of generated images that repeat a real image, which should be an image of the training data.

    ``memorized`` is the share of generated images whose distance to the nearest real image is at most ``threshold``
    times the mean distance of that real image to its ``k`` nearest other real images (calibrated as in arXiv
    2301.13188). Without the calibration, images of plain regions would count as copies of each other. With ``k=1`` and
    ``threshold=1``, it is 1 minus the authenticity of arXiv 2102.08921. What counts as a copy depends on the features:
    compare with the share of held-out real images.

    Args:
        k: real neighbors that the distance is calibrated by.
        threshold: largest calibrated distance of a copy.
    """

    uses: Literal["features"] = "features"
    needs_all_real = True
    better: Mapping[str, str] = {}  # an untrained generator memorizes nothing

    def __init__(self, *, k: PositiveInt = 50, threshold: PositiveFloat = 0.5) -> None:
        super().__init__()
        self.k, self.threshold = k, threshold
        self._closest: list[str] = []

    def require(self, real: int, generated: int) -> None:
        """Raises: ValueError: there are too few real images for this many neighbors."""
        require_images(self.k + 1, "real", real, "give more, or lower `k`")
        require_images(1, "generated", generated, "give more")

    def compute(self) -> dict[str, float]:
        """The share. Raises: ValueError: there are too few real images for this many neighbors."""
        real, fake = self.collected(real=True), self.collected(real=False)
        self.require(len(real), len(fake))
        distances, indices = nearest(fake, real, 1)
        originals, order = indices[:, 0].unique(return_inverse=True)
        # k + 1, since the nearest is the image itself
        scale = nearest(real[originals], real, self.k + 1)[0][:, 1:].mean(dim=1)[order]
        self._closest = _closest(distances[:, 0] / scale, indices[:, 0])
        # a product, since the images that repeat in the data have distance 0
        return {"memorized": float((distances[:, 0] <= self.threshold * scale).double().mean())}

    def details(self) -> Sequence[str]:
        """The generated images with the smallest calibrated distances, smallest first."""
        return self._closest


def nearest(features: Tensor, real: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Distances fp64 and indices [n count] of the nearest real features [m f] of each of the features [n f]."""
    real = real.double()  # products of fp32 matrices lose half of the digits of a small distance
    distances, indices = [], []
    for some in features.double().split(ROWS):
        values, found = torch.cdist(some, real).topk(count, largest=False)
        distances.append(values.where(values > SAME * some.norm(dim=1, keepdim=True), 0))
        indices.append(found)
    return torch.cat(distances), torch.cat(indices)


def _closest(ratios: Tensor, originals: Tensor) -> list[str]:
    ratios = ratios.nan_to_num(0.0)  # 0 / 0: a copy of an image that the data repeats
    return [
        f"generated image {index:,}: calibrated distance {ratios[index]:.3g} to real image {originals[index]:,}"
        for index in ratios.argsort(stable=True)[:LISTED].tolist()
    ]
