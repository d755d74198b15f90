"""Precision, recall, density and coverage: are the images good, and is there one of every kind?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from .feature_buffer import FeatureBuffer, require_images
from .optional_imports import import_optional

ROWS = 1000
"""Images of one side whose distances to all of the other are held at a time: 200 MB for 50,000."""


class PRDC:
    """Which images lie within reach of the other side's, by the distance of each to its k-th neighbour on its own side.

    ``precision``: the share of generated images within reach of some real one; ``recall``: the share of real images
    within reach of some generated one (arXiv 1904.06991, equations 1 and 2; computed by torch-fidelity).
    ``density``: within reach of how many real images a generated one lies, over k, 1 for equal sets; ``coverage``: the
    share of real images that reach some generated one (arXiv 2002.09797, equations 4 and 5). Scores from sets of
    unlike sizes cannot be compared.

    Args:
        k: the neighbour for precision and recall.
        density_k: the neighbour for density and coverage.
    """

    uses: Literal["features"] = "features"
    better: Mapping[str, str] = dict.fromkeys(("precision", "recall", "density", "coverage"), "higher")

    def __init__(self, *, k: PositiveInt = 3, density_k: PositiveInt = 5) -> None:
        self._library = import_optional("torch_fidelity.metric_prc", "torch-fidelity", "metric 'prdc'")
        self.k = k
        self.density_k = density_k
        self._features = FeatureBuffer()

    def require(self, real: int, generated: int) -> None:
        """Raises: ValueError: an image has fewer neighbours than are asked for."""
        require_images(max(self.k, self.density_k) + 1, "real", real, "give more, or lower `k` and `density_k`")
        require_images(self.k + 1, "generated", generated, "give more, or lower `k`")

    def update(self, values: Tensor, real: bool) -> None:
        """Features [n f] of real or of generated images."""
        self._features.add(values, real)

    def compute(self) -> dict[str, float]:
        """The four scores. Raises: ValueError: an image has fewer neighbours than are asked for."""
        real, fake = self._features.of(True), self._features.of(False)
        self.require(len(real), len(fake))
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
    """Of features [n f] and [m f], in memory proportional to n and m.

    An image at exactly the k-th neighbour's distance is out of reach, as in the authors' own figures: the density of
    a set in itself is then 1.
    """
    within_reach = covered = 0
    for some in real.split(ROWS):
        # k + 1, for the nearest of all is the image itself
        reach = torch.cdist(some, real).kthvalue(k + 1, dim=1, keepdim=True).values
        reached = torch.cdist(some, fake) < reach
        within_reach += int(reached.sum())
        covered += int(reached.any(dim=1).sum())
    return within_reach / (k * len(fake)), covered / len(real)
