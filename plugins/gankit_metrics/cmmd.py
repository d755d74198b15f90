"""CMMD: the maximum mean discrepancy with a Gaussian kernel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor

from .collected_features import CollectsFeatures, require_images

SCALE = 1000.0
ROWS = 256
"""Images of one side that are compared with a whole side at a time: 100 MB for 50,000 images."""


class CMMD(CollectsFeatures):
    """Squared maximum mean discrepancy of the features with a Gaussian kernel, times 1000.

    With the features ``clip``, this is CMMD (arXiv 2401.09603), by the estimator of its reference code: the biased one
    with minimum variance (Gretton et al., "A Kernel Two-Sample Test", 2012, equation 5). Its bias falls with the number
    of images. It makes no assumption about the distribution, and needs fewer images than the Fréchet distance.

    Args:
        sigma: bandwidth of the kernel ``exp(-|x - y|^2 / (2 sigma^2))``. The default is meant for features of length 1.
    """

    uses: Literal["features"] = "features"
    better: Mapping[str, str] = {"cmmd": "lower"}

    def __init__(self, *, sigma: PositiveFloat = 10.0) -> None:
        super().__init__()
        self.sigma = sigma

    def compute(self) -> dict[str, float]:
        """The distance. Raises: ValueError: there are no images on a side."""
        real, fake = self.collected(real=True), self.collected(real=False)
        for side, images in {"real": real, "generated": fake}.items():
            require_images(1, side, len(images), "give more")
        x, y = real.double(), fake.double()  # the distance is a small difference between numbers near 1
        return {"cmmd": SCALE * (self._mean_kernel(x, x) + self._mean_kernel(y, y) - 2 * self._mean_kernel(x, y))}

    def _mean_kernel(self, x: Tensor, y: Tensor) -> float:
        """The mean of the kernel over all pairs of features [n f] and [m f]."""
        rows = (torch.cdist(some, y).square_().mul_(-0.5 / self.sigma**2).exp_().sum() for some in x.split(ROWS))
        return float(sum(rows)) / (len(x) * len(y))
