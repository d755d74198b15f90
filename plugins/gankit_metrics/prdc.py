"""Precision, recall, density and coverage, which measure fidelity and diversity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from .collected_features import CollectsFeatures, require_images
from .optional_imports import import_optional

ROWS = 1000
"""Images of one side whose distances to the whole other side are computed at a time: 200 MB for 50,000 images."""


class PRDC(CollectsFeatures):
    """Precision, recall, density and coverage from k-nearest-neighbor balls.

    The ball around an image reaches to its k-th neighbor on its own side. ``precision`` is the share of generated
    images inside the ball of some real one, ``recall`` the share of real images inside the ball of some generated one
    (arXiv 1904.06991, equations 1 and 2; computed by torch-fidelity). ``density`` is the mean number of real balls that
    contain a generated image, over k, and is 1 for equal sets; ``coverage`` is the share of real balls that contain
    some generated image (arXiv 2002.09797, equations 4 and 5). Scores are comparable only between sets of equal sizes.

    Args:
        k: neighbor that sets the radius for precision and recall.
        density_k: neighbor that sets the radius for density and coverage.
    """

    uses: Literal["features"] = "features"
    better: Mapping[str, str] = dict.fromkeys(("precision", "recall", "density", "coverage"), "higher")

    def __init__(self, *, k: PositiveInt = 3, density_k: PositiveInt = 5) -> None:
        super().__init__()
        self._library = import_optional("torch_fidelity.metric_prc", "torch-fidelity", "metric 'prdc'")
        self.k, self.density_k = k, density_k

    def require(self, real: int, generated: int) -> None:
        """Raises: ValueError: there are too few images for this many neighbors."""
        require_images(max(self.k, self.density_k) + 1, "real", real, "give more, or lower `k` and `density_k`")
        require_images(self.k + 1, "generated", generated, "give more, or lower `k`")

    def compute(self) -> dict[str, float]:
        """The four scores. Raises: ValueError: there are too few images for this many neighbors."""
        real, fake = self.collected(real=True), self.collected(real=False)
        self.require(len(real), len(fake))
        center = real.mean(0)  # distances do not depend on it, but their rounding does
        real, fake = real - center, fake - center
        scores = self._library.prc_features_to_metric(
            fake, real, prc_neighborhood=self.k, prc_batch_size=ROWS, save_cpu_ram=True, verbose=False
        )
        density, coverage = density_and_coverage(real, fake, self.density_k)
        return {
            "precision": scores[self._library.KEY_METRIC_PRECISION],
            "recall": scores[self._library.KEY_METRIC_RECALL],
            "density": density,
            "coverage": coverage,
        }


def density_and_coverage(real: Tensor, fake: Tensor, k: int) -> tuple[float, float]:
    """Density and coverage of features [n f] and [m f], in memory proportional to n and m.

    An image at exactly the k-th neighbor's distance is outside, as in the authors' code: the density of a set in
    itself is then 1.
    """
    within_reach = covered = 0
    for some in real.split(ROWS):
        # k + 1, since the nearest is the image itself
        reach = torch.cdist(some, real).kthvalue(k + 1, dim=1, keepdim=True).values
        reached = torch.cdist(some, fake) < reach
        within_reach += int(reached.sum())
        covered += int(reached.any(dim=1).sum())
    return within_reach / (k * len(fake)), covered / len(real)
