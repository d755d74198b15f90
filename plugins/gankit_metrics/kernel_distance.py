"""The kernel distance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, PositiveInt
from torch import Tensor

from .feature_buffer import FeatureBuffer, require_images
from .optional_imports import import_optional


class KernelDistance:
    """Squared maximum mean discrepancy of the features under the kernel (x.y / f + 1)^3, unbiased.

    ``kid`` is the mean over random subsets, ``kid_std`` their standard deviation; a ``kid`` just below 0 means that
    the sets look alike. arXiv 1801.01401, section 4; computed by torch-fidelity, in float64.

    Args:
        subsets: how many subsets are drawn.
        subset_size: images of each side in a subset.
        seed: which subsets are drawn.
    """

    uses: Literal["features"] = "features"
    better: Mapping[str, str] = {"kid": "lower"}

    def __init__(
        self,
        *,
        subsets: PositiveInt = 100,
        subset_size: Annotated[int, Field(ge=2)] = 1000,
        seed: Annotated[int, Field(ge=0, lt=2**32)] = 2020,
    ) -> None:
        self._library = import_optional("torch_fidelity.metric_kid", "torch-fidelity", "metric 'kid'")
        self.subsets = subsets
        self.subset_size = subset_size
        self.seed = seed
        self._features = FeatureBuffer()

    def require(self, real: int, generated: int) -> None:
        """Raises: ValueError: fewer images than a subset has."""
        for side, given in {"real": real, "generated": generated}.items():
            require_images(self.subset_size, side, given, "give more, or lower `subset_size`")

    def update(self, values: Tensor, real: bool) -> None:
        """Features [n f] of real or of generated images."""
        self._features.add(values, real)

    def compute(self) -> dict[str, float]:
        """The distance. Raises: ValueError: fewer images than a subset has."""
        real, fake = self._features.of(True), self._features.of(False)
        self.require(len(real), len(fake))
        scores = self._library.kid_features_to_metric(
            fake.double(),  # the distance is a small difference of large sums
            real.double(),
            kid_subsets=self.subsets,
            kid_subset_size=self.subset_size,
            rng_seed=self.seed,
            verbose=False,
        )
        return {
            "kid": scores[self._library.KEY_METRIC_KID_MEAN],
            "kid_std": scores[self._library.KEY_METRIC_KID_STD],
        }
