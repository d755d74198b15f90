"""The Inception Score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, PositiveInt
from torch import Tensor

from .feature_buffer import FeatureBuffer, require_images
from .optional_imports import import_optional


class InceptionScore:
    """How sure a classifier is of each generated image, and how many classes it sees among them.

    ``is``: exp of the mean divergence KL(p(class | image) || p(class)), from 1 up to the number of classes: the mean
    over disjoint parts of the shuffled images, with standard deviation ``is_std``. Real images play no part.
    arXiv 1606.03498, section 4; computed by torch-fidelity.

    Args:
        splits: into how many parts the images are divided.
        seed: how they are shuffled.
    """

    uses: Literal["logits"] = "logits"
    needs_real = False
    better: Mapping[str, str] = {"is": "higher"}

    def __init__(self, *, splits: PositiveInt = 10, seed: Annotated[int, Field(ge=0, lt=2**32)] = 2020) -> None:
        self._library = import_optional("torch_fidelity.metric_isc", "torch-fidelity", "metric 'inception_score'")
        self.splits = splits
        self.seed = seed
        self._features = FeatureBuffer()

    def require(self, real: int, generated: int) -> None:
        """Raises: ValueError: fewer images than parts."""
        require_images(self.splits, "generated", generated, "give more, or lower `splits`")

    def update(self, values: Tensor, real: bool) -> None:
        """Logits [n k] of generated images; those of real ones are ignored."""
        if not real:
            self._features.add(values, real)

    def compute(self) -> dict[str, float]:
        """The score. Raises: ValueError: fewer images than parts."""
        logits = self._features.of(False)
        self.require(0, len(logits))
        scores = self._library.isc_features_to_metric(logits, splits=self.splits, shuffle=True, rng_seed=self.seed)
        return {"is": scores[self._library.KEY_METRIC_ISC_MEAN], "is_std": scores[self._library.KEY_METRIC_ISC_STD]}
