"""Compute all metrics in one pass. Shapes: ``n`` images, ``f`` features, ``k`` logits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor

from ..calls import described, require_methods, require_no_misspelling
from ..errors import GankitError
from ..interfaces import Metric
from ..messages import truncate
from .extractor import BATCH, Extractor, call_component, deterministic_fp32
from .pairs import compares_pairs
from .record import MAX_NAME, MAX_SCORES, Better

USES = ("features", "logits")
DIRECTIONS = get_args(Better)

ScoreDirections = dict[str, dict[str, Better | None]]
"""For each metric: its scores, and which values of each are better; None for scores that do not rate quality."""


class EvaluatedBatch(NamedTuple):
    """A batch of generated images as metrics see it.

    Attributes:
        features: [n f], for metrics of sets; None without any.
        generated: uint8 [n c h w], for metrics of pairs; None without any.
        real: the partner of each image, uint8 [n c h w]; None without metrics of pairs.
    """

    features: Tensor | None
    generated: Tensor | None = None
    real: Tensor | None = None


def check_metrics(metrics: Mapping[str, Metric], extractor: Extractor | None, with_logits: Iterable[str] = ()) -> None:
    """Check the attributes of metrics, and that the extractor has the values that they use.

    Args:
        metrics: by name.
        extractor: computes the features; None if all metrics compare pairs of images.
        with_logits: names of the extractors that have logits, for the error message.

    Raises:
        GankitError: a metric lacks a method, its ``uses`` or ``better`` is invalid, or it uses logits and the
            extractor has none.
    """
    for name, metric in metrics.items():
        check_methods(name, metric)
        pairs, uses = compares_pairs(metric), getattr(metric, "uses", None)
        if uses not in USES and not pairs:
            raise GankitError(f"metric '{name}': 'uses' should be {' or '.join(USES)}; got {uses!r}")
        better: Any = getattr(metric, "better", {})
        if not isinstance(better, Mapping) or not set(better.values()) <= set(DIRECTIONS):
            expected = f"map names of scores to {' or '.join(DIRECTIONS)}"
            raise GankitError(f"metric '{name}': 'better' should {expected}; got {better!r}")
        if extractor is not None and uses == "logits" and not pairs and not extractor.has_logits:
            known = [other for other in with_logits if other != extractor.name]
            remedy = f"choose features that have logits ({', '.join(known)})" if known else "leave it out"
            raise GankitError(
                f"metric '{name}' is computed from class logits, but features '{extractor.name}' have none; {remedy}"
            )


def check_methods(name: str, metric: Metric) -> None:
    """Raises: GankitError: the metric lacks a method, or has a misspelt one."""
    values = "generated" if compares_pairs(metric) else "values"
    required = {"update": (values, "real"), "compute": ()}
    try:
        require_methods(metric, required, "metric")
        require_no_misspelling(metric, (*required, "require", "caution", "details"))
    except ValueError as error:
        raise GankitError(f"metric '{name}': {error}") from None


def check_counts(metrics: Mapping[str, Metric], real: int, generated: int) -> None:
    """Call each metric's ``require``, if it has one. Raises: GankitError: a metric needs more images."""
    for name, metric in metrics.items():
        check_methods(name, metric)
        if (require := getattr(metric, "require", None)) is not None:
            call_component(f"metric '{name}'", require, real, generated)


def cautions_of_missing(metrics: Mapping[str, Metric], real: int, available: int) -> list[str]:
    """A caution for each metric that needs all real images of the dataset, if some are missing."""
    return [
        f"{name}: only {real:,} of the {available:,} real images are compared; set real_samples to {available} to "
        "compare all"
        for name, metric in metrics.items()
        if real < available and getattr(metric, "needs_all_real", False)
    ]


def compute_scores(
    batches: Iterable[EvaluatedBatch],
    real: Tensor | None,
    extractor: Extractor | None,
    metrics: Mapping[str, Metric],
    device: torch.device | None = None,
) -> tuple[dict[str, float], ScoreDirections, list[str]]:
    """Update every metric with real and generated images, and compute the scores.

    Args:
        batches: of generated images; read once and not kept.
        real: features [n f] of the real images; None if all metrics compare pairs of images.
        extractor: computed the features; None if all metrics compare pairs of images.
        metrics: newly built ones that `check_metrics` has accepted, by name.
        device: where metrics of pairs receive their images; None leaves these where they are.

    Returns:
        The scores by name, the scores of each metric, and the cautions of the metrics.

    Raises:
        GankitError: a metric fails, or two metrics have a score of the same name.
    """
    pairs = {name: metric for name, metric in metrics.items() if compares_pairs(metric)}
    sets = {name: metric for name, metric in metrics.items() if name not in pairs}
    if extractor is not None and real is not None:
        for features in real.split(BATCH):
            _update(features, extractor, sets, real=True)
    for batch in batches:
        if extractor is not None and batch.features is not None:
            _update(batch.features, extractor, sets, real=False)
        if batch.generated is not None and batch.real is not None:
            _update_pairs(batch.generated.to(device), batch.real.to(device), pairs)
    scores: dict[str, float] = {}
    directions: ScoreDirections = {}
    cautions: list[str] = []
    for name, metric in metrics.items():
        computed = call_component(f"metric '{name}'", metric.compute)
        if not isinstance(computed, Mapping):
            raise GankitError(f"metric '{name}': `compute` returns {described(computed)}; expected numbers by name")
        name_of = str if name in pairs or extractor is None else extractor.score_name
        names = {score: name_of(score) for score in computed}
        if taken := sorted(set(names.values()) & set(scores)):
            raise GankitError(
                f"metric '{name}' computes a score '{taken[0]}', as another metric does; leave one of them out"
            )
        better = getattr(metric, "better", dict.fromkeys(computed, "lower"))
        scores |= {names[score]: _number(name, score, value) for score, value in computed.items()}
        directions[name] = {names[score]: better.get(score) for score in computed}
        if caution := getattr(metric, "caution", lambda: None)():
            cautions.append(f"{', '.join(names.values())}: {caution}")
    if len(scores) > MAX_SCORES:
        raise GankitError(f"the metrics compute {len(scores)} scores; a record holds at most {MAX_SCORES}")
    if long := [score for score in scores if len(score) > MAX_NAME]:
        raise GankitError(f"the name of score {truncate(long[0])} has more than {MAX_NAME} characters")
    return scores, directions, cautions


def _number(metric: str, score: object, value: Any) -> float:
    """The value of a score. Raises: GankitError: it is not a number."""
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise GankitError(
            f"metric '{metric}': `compute` returns {described(value)} for {score!r}; expected a number"
        ) from None


def _update(features: Tensor, extractor: Extractor, metrics: Mapping[str, Metric], real: bool) -> None:
    updated = {name: metric for name, metric in metrics.items() if not real or getattr(metric, "needs_real", True)}
    values = {"features": features}
    if any(metric.uses == "logits" for metric in updated.values()):
        values["logits"] = extractor.logits(features)
    for name, metric in updated.items():
        call_component(f"metric '{name}'", metric.update, values[metric.uses], real)


def _update_pairs(generated: Tensor, real: Tensor, metrics: Mapping[str, Metric]) -> None:
    with torch.no_grad(), deterministic_fp32():
        for name, metric in metrics.items():
            call_component(f"metric '{name}'", metric.update, generated, real)
