"""Compute what metrics see of generated images, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from .extractor import Extractor
from .generated_images import EvaluatedImages, GeneratedImages
from .metrics import EvaluatedBatch


def evaluate_batch(images: GeneratedImages, number: int, extractor: Extractor | None) -> EvaluatedBatch:
    """One batch of a generator's images as the metrics see it."""
    real = None if images.partners is None else images.partners.batch(number)
    return _evaluated(images.batch(number), real, extractor)


def evaluated_batches(images: EvaluatedImages, extractor: Extractor | None) -> Iterator[EvaluatedBatch]:
    """All batches as the metrics see them, in order."""
    for number, generated in enumerate(images.batches()):
        real = None if images.partners is None else images.partners.batch(number)
        yield _evaluated(generated, real, extractor)


def _evaluated(generated: Tensor, real: Tensor | None, extractor: Extractor | None) -> EvaluatedBatch:
    features = None if extractor is None else extractor(generated)
    return EvaluatedBatch(features) if real is None else EvaluatedBatch(features, generated, real)
