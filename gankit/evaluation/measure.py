"""One pass over features, and every metric fed from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from torch import Tensor

from ..errors import GankitError
from ..interfaces import Metric
from .extractor import BATCH, Extractor
from .record import column

USES = ("features", "logits")


def require_values(extractor: Extractor, metrics: Mapping[str, Metric], others: Iterable[str] = ()) -> None:
    """See that every metric can be fed.

    Args:
        others: extractors that have logits, for the message.

    Raises:
        GankitError: a metric wants logits and the extractor has none, or wants what does not exist.
    """
    for name, metric in metrics.items():
        uses = getattr(metric, "uses", None)
        if uses not in USES:
            raise GankitError(f"metric '{name}': its 'uses' should be {' or '.join(USES)}; it is {uses!r}")
        if uses == "logits" and not extractor.has_logits:
            known = [other for other in others if other != extractor.name]
            remedy = f"choose features that have them ({', '.join(known)})" if known else "leave it out"
            raise GankitError(
                f"metric '{name}' is computed from class logits, and features '{extractor.name}' have none; {remedy}"
            )


def measure(
    fakes: Iterable[Tensor],
    real: Tensor,
    extractor: Extractor,
    metrics: Mapping[str, Metric],
    report: Callable[[int], None] = lambda done: None,
) -> tuple[dict[str, float], dict[str, tuple[str, ...]]]:
    """Feed every metric with the features of real and generated images, each computed once, and ask for the scores.

    Args:
        fakes: generated images, uint8 [n c h w], batch after batch; none is kept.
        real: features [n f] of the real ones.
        metrics: fresh ones, by name.
        report: is told how many generated images are done.

    Returns:
        The scores by column, and the columns of each metric.

    Raises:
        GankitError: a metric cannot be fed or computed, or two give a score of one name.
    """
    require_values(extractor, metrics)
    for features in real.split(BATCH):
        _feed(features, extractor, metrics, real=True)
    done = 0
    for images in fakes:
        _feed(extractor(images), extractor, metrics, real=False)
        done += len(images)
        report(done)
    scores: dict[str, float] = {}
    columns: dict[str, tuple[str, ...]] = {}
    for name, metric in metrics.items():
        try:
            computed = metric.compute()
        except ValueError as error:
            raise GankitError(f"metric '{name}': {error}") from error
        own = {column(score, extractor.name, extractor.established): float(v) for score, v in computed.items()}
        if taken := sorted(set(own) & set(scores)):
            raise GankitError(f"metric '{name}' gives a score '{taken[0]}', which another one gave; leave one out")
        scores |= own
        columns[name] = tuple(own)
    return scores, columns


def _feed(features: Tensor, extractor: Extractor, metrics: Mapping[str, Metric], real: bool) -> None:
    values = {"features": features}
    if any(metric.uses == "logits" for metric in metrics.values()):
        values["logits"] = extractor.logits(features)
    for name, metric in metrics.items():
        try:
            metric.update(values[metric.uses], real)
        except ValueError as error:
            raise GankitError(f"metric '{name}': {error}") from error
