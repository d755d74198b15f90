"""The kernel distance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from .collected_features import CollectsFeatures, require_images
from .optional_imports import import_optional


class KernelDistance(CollectsFeatures):
    """Squared maximum mean discrepancy of the features with the kernel (x.y / f + 1)^3, unbiased.

    ``kid`` is the mean over random subsets, ``kid_std`` their standard deviation; sets from the same distribution have
    a ``kid`` near 0, possibly below it. arXiv 1801.01401, section 4; computed by torch-fidelity, in float64.

    Args:
        subsets: number of subsets.
        subset_size: real and generated images per subset.
        seed: of the subsets.
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
        super().__init__()
        self._library = import_optional("torch_fidelity.metric_kid", "torch-fidelity", "metric 'kid'")
        self.subsets, self.subset_size, self.seed = subsets, subset_size, seed

    def require(self, real: int, generated: int) -> None:
        """Raises: ValueError: there are fewer images than a subset needs."""
        for side, given in {"real": real, "generated": generated}.items():
            require_images(self.subset_size, side, given, "give more, or lower `subset_size`")

    def compute(self) -> dict[str, float]:
        """The distance. Raises: ValueError: there are fewer images than a subset needs."""
        real, fake = self.collected(real=True), self.collected(real=False)
        self.require(len(real), len(fake))
        scores = self._library.kid_features_to_metric(
            fake.double(),  # the distance is a small difference between large sums
            real.double(),
            kid_subsets=self.subsets,
            kid_subset_size=self.subset_size,
            rng_seed=self.seed,
            verbose=False,
        )
        return {"kid": scores[self._library.KEY_METRIC_KID_MEAN], "kid_std": scores[self._library.KEY_METRIC_KID_STD]}
