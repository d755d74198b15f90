"""Every metric fed from features that are computed once. Shapes: ``n`` images, ``f`` features, ``k`` logits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from torch import Tensor

from ..errors import GankitError
from ..interfaces import Metric
from .extractor import BATCH, Extractor
from .record import Better, column

USES = ("features", "logits")
DIRECTIONS = get_args(Better)

Columns = dict[str, dict[str, Better | None]]
"""Of each metric the columns of its scores, and which values of each are better; None where that tells nothing."""


def require_values(extractor: Extractor, metrics: Mapping[str, Metric], others: Iterable[str] = ()) -> None:
    """See that every metric can be fed, and says what it should.

    Args:
        others: extractors that have logits, for the message.

    Raises:
        GankitError: a metric wants logits and the extractor has none, wants what does not exist, or does not say which
            of its scores are better.
    """
    for name, metric in metrics.items():
        uses = getattr(metric, "uses", None)
        if uses not in USES:
            raise GankitError(f"metric '{name}': its 'uses' should be {' or '.join(USES)}; it is {uses!r}")
        better: Any = getattr(metric, "better", {})
        if not isinstance(better, Mapping) or not set(better.values()) <= set(DIRECTIONS):
            wanted = f"say {' or '.join(DIRECTIONS)} of its scores, by name"
            raise GankitError(f"metric '{name}': its 'better' should {wanted}; it is {better!r}")
        if uses == "logits" and not extractor.has_logits:
            known = [other for other in others if other != extractor.name]
            remedy = f"choose features that have them ({', '.join(known)})" if known else "leave it out"
            raise GankitError(
                f"metric '{name}' is computed from class logits, and features '{extractor.name}' have none; {remedy}"
            )


def require_counts(metrics: Mapping[str, Metric], real: int, generated: int) -> None:
    """See that there will be enough images. Raises: GankitError: too few for a metric that says so beforehand."""
    for name, metric in metrics.items():
        require: Any = getattr(metric, "require", None)
        if require is not None:
            try:
                require(real, generated)
            except ValueError as error:
                raise GankitError(f"metric '{name}': {error}") from error


def measure(
    generated: Iterable[Tensor], real: Tensor, extractor: Extractor, metrics: Mapping[str, Metric]
) -> tuple[dict[str, float], Columns]:
    """Feed every metric with the features of real and generated images, and ask for the scores.

    Args:
        generated: features [n f] of generated images, batch after batch; none is kept.
        real: features [n f] of the real ones.
        extractor: whose features these are.
        metrics: fresh ones, by name.

    Returns:
        The scores by column, and the columns of each metric.

    Raises:
        GankitError: a metric cannot be fed or computed, or two give a score of one name.
    """
    require_values(extractor, metrics)
    for features in real.split(BATCH):
        _feed(features, extractor, metrics, real=True)
    for features in generated:
        _feed(features, extractor, metrics, real=False)
    scores: dict[str, float] = {}
    columns: Columns = {}
    for name, metric in metrics.items():
        try:
            computed = metric.compute()
        except ValueError as error:
            raise GankitError(f"metric '{name}': {error}") from error
        titles = {score: column(score, extractor.name, extractor.established) for score in computed}
        if taken := sorted(set(titles.values()) & set(scores)):
            raise GankitError(f"metric '{name}' gives a score '{taken[0]}', which another one gave; leave one out")
        better = getattr(metric, "better", dict.fromkeys(computed, "lower"))
        scores |= {titles[score]: float(value) for score, value in computed.items()}
        columns[name] = {titles[score]: better.get(score) for score in computed}
    return scores, columns


def _feed(features: Tensor, extractor: Extractor, metrics: Mapping[str, Metric], real: bool) -> None:
    fed = {name: metric for name, metric in metrics.items() if not real or getattr(metric, "needs_real", True)}
    values = {"features": features}
    if any(metric.uses == "logits" for metric in fed.values()):
        values["logits"] = extractor.logits(features)
    for name, metric in fed.items():
        try:
            metric.update(values[metric.uses], real)
        except ValueError as error:
            raise GankitError(f"metric '{name}': {error}") from error
