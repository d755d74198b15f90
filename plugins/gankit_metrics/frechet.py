"""The Frechet distance."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from .collected import require
from .libraries import library


class FrechetDistance:
    """Frechet distance between two normal distributions, those of the real and of the generated features.

    ``fd``: squared distance, 0 for equal means and covariances. arXiv 1706.08500, equation 6; computed by torchmetrics
    from sums in float64, so that memory depends on the number of features and not on that of images.
    """

    uses: Literal["features"] = "features"

    def __init__(self) -> None:
        self._fid = library("torchmetrics.image.fid", "torchmetrics", "metric 'fd'")
        self._metric: Any = None

    def update(self, values: Tensor, real: bool) -> None:
        """Features [n f] of real or of generated images."""
        if self._metric is None:  # only now is their number known
            features = _AsGiven(values.shape[1])
            # one process evaluates: waiting for others to join in would be waiting for ever
            with torch.device("cpu"):
                self._metric = self._fid.FrechetInceptionDistance(features, sync_on_compute=False)
        self._metric.update(values.detach().to("cpu", torch.float64), real=real)

    def compute(self) -> dict[str, float]:
        """The distance. Raises: ValueError: fewer than two images on a side."""
        sides = {"real": 0, "generated": 0}
        if self._metric is not None:
            counts = (self._metric.real_features_num_samples, self._metric.fake_features_num_samples)
            sides = dict(zip(sides, map(int, counts), strict=True))
        for side, given in sides.items():
            require(side, given, 2, "give more; well above the number of features for a score that means much")
        return {"fd": float(self._metric.compute())}


class _AsGiven(nn.Module):
    """Stands where torchmetrics expects a network: the features have been computed already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features
