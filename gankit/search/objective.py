"""The score that a search optimizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch

from ..errors import GankitError
from ..evaluation.pairs import compares_pairs
from ..evaluation.record import Better
from ..evaluation.request import Request, build, select_metrics
from ..evaluation.scorer import build_extractor
from ..messages import did_you_mean
from ..recipe.checked_recipe import CheckedRecipe
from ..registered_component import Selected
from ..registry import Registries

EVALUATE = "evaluate"  # the callback that scores a run while it trains
EXAMPLE = "callbacks: [{name: evaluate, every: 500, metrics: [fd]}]"


class Objective(NamedTuple):
    """A score, and which values of it are better."""

    score: str
    better: Better


def find_objective(
    checked: CheckedRecipe, registries: Registries, score: str | None, better: Better | None
) -> Objective:
    """The score to optimize: the given one, or the first of the callback ``evaluate`` with a known direction.

    Args:
        checked: the recipe.
        registries: with metrics and feature extractors.
        score: the name of a score.
        better: which values are better; None asks the metric. With both, the score may be that of any callback.

    Raises:
        GankitError: the recipe computes no score, or not this one, or several times, or its direction is unknown.
    """
    if score is not None and better is not None:
        return Objective(score, better)
    callbacks = [part for part in checked.of_section("callbacks").values() if part.entry.name == EVALUATE]
    if not callbacks:
        raise GankitError(
            f"the recipe computes no scores to search by: it lacks the callback {EVALUATE}; add it, such as {EXAMPLE}, "
            "or name the score of another callback with --objective and --better"
        )
    scores = [_scores(callback, registries) for callback in callbacks]
    known: dict[str, Better] = {}
    for name, direction in (pair for found in scores for pair in found.items()):
        known.setdefault(name, direction)
    if score is None and known:
        score = next(iter(known))
    if score is None:
        raise GankitError("no metric of the recipe says which scores are better; give --objective and --better")
    if score not in known:
        raise GankitError(
            f"objective: the metrics of the recipe have no score '{score}' with a known direction"
            f"{did_you_mean(score, known)}; for another score, add --better lower or --better higher"
        )
    if (count := sum(score in found for found in scores)) > 1:
        raise GankitError(
            f"objective: {count} callbacks compute the score '{score}', perhaps with other settings; keep one of them"
        )
    return Objective(score, better or known[score])


def _scores(callback: Selected, registries: Registries) -> Mapping[str, Better]:
    """The scores of an ``evaluate`` callback whose direction is known, in order."""
    params = callback.plain_params()
    request = Request(tuple(params["metrics"]), params["features"], params["params"] or {})
    selected = select_metrics(registries, request)
    extractor = build_extractor(selected, request, torch.device("cpu"))
    found: dict[str, Better] = {}
    for chosen in selected.metrics:
        metric = build(chosen)
        name_of = str if compares_pairs(metric) or extractor is None else extractor.score_name
        # without the attribute, lower values are better, and the first score usually has the name of the metric
        better = getattr(metric, "better", {chosen.entry.name: "lower"})
        found |= {name_of(name): direction for name, direction in better.items()}
    return found
