"""Compute all metrics from features in one pass. Shapes: ``n`` images, ``f`` features, ``k`` logits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from torch import Tensor

from ..calls import described, require_methods, require_no_misspelling
from ..errors import GankitError
from ..interfaces import Metric
from .extractor import BATCH, Extractor, call_component
from .record import Better

USES = ("features", "logits")
DIRECTIONS = get_args(Better)

ScoreDirections = dict[str, dict[str, Better | None]]
"""For each metric: its scores, and which values of each are better; None for scores that do not rate quality."""


def check_metrics(metrics: Mapping[str, Metric], extractor: Extractor, with_logits: Iterable[str] = ()) -> None:
    """Check the attributes of metrics, and that the extractor has the values that they use.

    Args:
        metrics: by name.
        extractor: computes the features.
        with_logits: names of the extractors that have logits, for the error message.

    Raises:
        GankitError: a metric lacks a method, its ``uses`` or ``better`` is invalid, or it uses logits and the
            extractor has none.
    """
    for name, metric in metrics.items():
        check_methods(name, metric)
        if (uses := getattr(metric, "uses", None)) not in USES:
            raise GankitError(f"metric '{name}': 'uses' should be {' or '.join(USES)}; got {uses!r}")
        better: Any = getattr(metric, "better", {})
        if not isinstance(better, Mapping) or not set(better.values()) <= set(DIRECTIONS):
            expected = f"map names of scores to {' or '.join(DIRECTIONS)}"
            raise GankitError(f"metric '{name}': 'better' should {expected}; got {better!r}")
        if uses == "logits" and not extractor.has_logits:
            known = [other for other in with_logits if other != extractor.name]
            remedy = f"choose features that have logits ({', '.join(known)})" if known else "leave it out"
            raise GankitError(
                f"metric '{name}' is computed from class logits, but features '{extractor.name}' have none; {remedy}"
            )


def check_methods(name: str, metric: Metric) -> None:
    """Raises: GankitError: the metric lacks a method, or has a misspelt one."""
    required = {"update": ("values", "real"), "compute": ()}
    try:
        require_methods(metric, required, "metric")
        require_no_misspelling(metric, (*required, "require", "caution"))
    except ValueError as error:
        raise GankitError(f"metric '{name}': {error}") from None


def check_counts(metrics: Mapping[str, Metric], real: int, generated: int) -> None:
    """Call each metric's ``require``, if it has one. Raises: GankitError: a metric needs more images."""
    for name, metric in metrics.items():
        check_methods(name, metric)
        if (require := getattr(metric, "require", None)) is not None:
            call_component(f"metric '{name}'", require, real, generated)


def compute_scores(
    generated: Iterable[Tensor], real: Tensor, extractor: Extractor, metrics: Mapping[str, Metric]
) -> tuple[dict[str, float], ScoreDirections, list[str]]:
    """Update every metric with the features of real and generated images, and compute the scores.

    Args:
        generated: features [n f] of each batch of generated images; read once and not kept.
        real: features [n f] of the real images.
        extractor: computed the features.
        metrics: newly built ones that `check_metrics` has accepted, by name.

    Returns:
        The scores by name, the scores of each metric, and the cautions of the metrics.

    Raises:
        GankitError: a metric fails, or two metrics have a score of the same name.
    """
    for features in real.split(BATCH):
        _update(features, extractor, metrics, real=True)
    for features in generated:
        _update(features, extractor, metrics, real=False)
    scores: dict[str, float] = {}
    directions: ScoreDirections = {}
    cautions: list[str] = []
    for name, metric in metrics.items():
        computed = call_component(f"metric '{name}'", metric.compute)
        if not isinstance(computed, Mapping):
            raise GankitError(f"metric '{name}': `compute` returns {described(computed)}; expected numbers by name")
        names = {score: extractor.score_name(score) for score in computed}
        if taken := sorted(set(names.values()) & set(scores)):
            raise GankitError(
                f"metric '{name}' computes a score '{taken[0]}', as another metric does; leave one of them out"
            )
        better = getattr(metric, "better", dict.fromkeys(computed, "lower"))
        scores |= {names[score]: float(value) for score, value in computed.items()}
        directions[name] = {names[score]: better.get(score) for score in computed}
        if caution := getattr(metric, "caution", lambda: None)():
            cautions.append(f"{', '.join(names.values())}: {caution}")
    return scores, directions, cautions


def _update(features: Tensor, extractor: Extractor, metrics: Mapping[str, Metric], real: bool) -> None:
    updated = {name: metric for name, metric in metrics.items() if not real or getattr(metric, "needs_real", True)}
    values = {"features": features}
    if any(metric.uses == "logits" for metric in updated.values()):
        values["logits"] = extractor.logits(features)
    for name, metric in updated.items():
        call_component(f"metric '{name}'", metric.update, values[metric.uses], real)
