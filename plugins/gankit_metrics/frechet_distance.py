"""The Fréchet distance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .collected_features import require_images
from .optional_imports import import_optional


class FrechetDistance:
    """Fréchet distance between normal distributions fitted to the real and to the generated features.

    ``fd`` is the squared distance, 0 for equal means and covariances (arXiv 1706.08500, equation 6). Computed by
    torchmetrics from running sums in float64, so memory does not grow with the number of images.
    """

    uses: Literal["features"] = "features"
    better: Mapping[str, str] = {"fd": "lower"}

    def __init__(self) -> None:
        self._fid = import_optional("torchmetrics.image.fid", "torchmetrics", "metric 'fd'")
        self._metric: Any = None
        self._features = 0

    def require(self, real: int, generated: int) -> None:
        """Raises: ValueError: fewer than two images on a side."""
        for side, given in {"real": real, "generated": generated}.items():
            require_images(2, side, given, "give more; a meaningful score needs far more images than features")

    def update(self, values: Tensor, real: bool) -> None:
        """Features [n f] of real or of generated images."""
        if self._metric is None:  # the number of features is known only now
            self._features = values.shape[1]
            features = _AsGiven(self._features)
            # no synchronization: only one process evaluates, and the others would never join
            with torch.device("cpu"):
                self._metric = self._fid.FrechetInceptionDistance(features, sync_on_compute=False)
        self._metric.update(values.detach().to("cpu", torch.float64), real=real)

    def caution(self) -> str | None:
        """A sentence if a covariance is singular: fewer images than features on a side."""
        real, generated = int(self._metric.real_features_num_samples), int(self._metric.fake_features_num_samples)
        if min(real, generated) > self._features:
            return None
        return (
            f"{real:,} real and {generated:,} generated images are too few for {self._features:,} features: the "
            "covariances are singular, and the distance compares only with the same numbers of images; use the metric "
            f"kid, with kid.subset_size={min(real, generated, 1000)} or less, or more than {self._features:,} images"
        )

    def compute(self) -> dict[str, float]:
        """The distance. Raises: ValueError: fewer than two images on a side."""
        counts = (0, 0)
        if self._metric is not None:
            counts = int(self._metric.real_features_num_samples), int(self._metric.fake_features_num_samples)
        self.require(*counts)
        return {"fd": float(self._metric.compute())}


class _AsGiven(nn.Module):
    """Replaces the network that torchmetrics expects, since the features are computed already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features
