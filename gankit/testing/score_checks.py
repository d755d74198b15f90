"""Checks of metrics and feature extractors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..errors import GankitError
from ..evaluation.extractor import Extractor
from ..evaluation.metrics import EvaluatedBatch, check_counts, check_metrics, compute_scores
from ..evaluation.pairs import compares_pairs
from .turn import require_argument

COUNT, WIDTH = 1024, 16


def check_metric(factory: Callable[..., Any], **params: Any) -> None:
    """Check that a metric computes finite scores of random features or pairs, the same for the same ones.

    The number of features is 16. Metrics of logits receive as many logits.
    """
    random = torch.Generator().manual_seed(0)
    values = torch.rand(2, COUNT, WIDTH, generator=random)
    images = torch.randint(0, 256, (2, 8, 3, 32, 32), generator=random, dtype=torch.uint8)
    results = []
    for _ in range(2):
        metric = factory(**params)
        try:
            check_metrics({"metric": metric}, None)
            check_counts({"metric": metric}, COUNT, COUNT)
            if compares_pairs(metric):
                batches = [EvaluatedBatch(None, images[0], images[1])]
                results.append(compute_scores(batches, None, None, {"metric": metric})[0])
                continue
        except GankitError as error:
            raise AssertionError(str(error)) from None
        for real, rows in ((True, values[0]), (False, values[1])):
            if real and not getattr(metric, "needs_real", True):
                continue
            for batch in rows.split(64):
                metric.update(batch, real)
        scores = metric.compute()
        assert isinstance(scores, dict), (
            f"compute returns {type(scores).__name__}; expected a mapping of names to numbers"
        )
        results.append({name: float(score) for name, score in scores.items()})
    finite = all(torch.tensor(score).isfinite() for score in results[0].values())
    assert results[0], "compute returns no scores"
    assert finite, f"the scores are not finite: {results[0]}"
    assert results[0] == results[1], f"the scores of the same images differ: {results[0]} and {results[1]}"


def check_features(features: Any) -> None:
    """Check that an extractor gives finite features [n f], the same for an image alone and among others."""
    require_argument(not isinstance(features, type), f"the class {features!r} was given; expected an instance")
    images = torch.randint(0, 256, (4, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    try:
        extractor = Extractor("features", {}, features, torch.device("cpu"))
        found = extractor(images)
        alone = torch.cat([extractor(image[None]) for image in images])
    except GankitError as error:
        raise AssertionError(str(error)) from None
    assert bool(found.isfinite().all()), "the features are not finite"
    assert torch.allclose(found, alone, rtol=1e-3, atol=1e-4), "an image has other features when it is alone"
