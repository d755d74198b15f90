"""The Inception Score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, PositiveInt
from torch import Tensor

from .collected_features import CollectsFeatures, require_images
from .optional_imports import import_optional


class InceptionScore(CollectsFeatures):
    """Inception Score: how confident a classifier is on each generated image, and how many classes it sees overall.

    ``is`` is exp of the mean divergence KL(p(class | image) || p(class)), from 1 to the number of classes, averaged
    over disjoint parts of the shuffled images; ``is_std`` is the standard deviation over the parts. Real images are not
    used. arXiv 1606.03498, section 4; computed by torch-fidelity.

    Args:
        splits: number of parts that the images are divided into.
        seed: of the shuffling.
    """

    uses: Literal["logits"] = "logits"
    needs_real = False
    better: Mapping[str, str] = {"is": "higher"}

    def __init__(self, *, splits: PositiveInt = 10, seed: Annotated[int, Field(ge=0, lt=2**32)] = 2020) -> None:
        super().__init__()
        self._library = import_optional("torch_fidelity.metric_isc", "torch-fidelity", "metric 'inception_score'")
        self.splits, self.seed = splits, seed

    def require(self, real: int, generated: int) -> None:
        """Raises: ValueError: fewer images than parts."""
        require_images(self.splits, "generated", generated, "give more, or lower `splits`")

    def update(self, values: Tensor, real: bool) -> None:
        """Add logits [n k] of generated images; those of real images are ignored."""
        if not real:
            super().update(values, real)

    def compute(self) -> dict[str, float]:
        """The score. Raises: ValueError: fewer images than parts."""
        logits = self.collected(real=False)
        self.require(0, len(logits))
        scores = self._library.isc_features_to_metric(logits, splits=self.splits, shuffle=True, rng_seed=self.seed)
        return {"is": scores[self._library.KEY_METRIC_ISC_MEAN], "is_std": scores[self._library.KEY_METRIC_ISC_STD]}
