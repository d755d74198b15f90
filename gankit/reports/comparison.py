"""Compare runs: columns of comparable scores, and differences between recipes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..evaluation.record import Better, Evaluation, differences
from ..recipe.segments import SEGMENTS


@dataclass
class Column:
    """Comparable scores of several runs.

    Attributes:
        score: its name.
        example: an evaluation with the protocol of the column.
        number: from 1 if several columns have the same score; otherwise 0.
        evaluations: the newest of each run, by the run's index.
    """

    score: str
    example: Evaluation
    number: int = 0
    evaluations: dict[int, Evaluation] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"{self.score} [{self.number}]" if self.number else self.score

    @property
    def better(self) -> Better | None:
        """Whether lower or higher values are better; None if the score does not rate quality."""
        found = (m.better for e in self.evaluations.values() for m in e.metrics.values() if self.score in m.better)
        return next((better[self.score] for better in found), None)

    def by_step(self, evaluations: Iterable[Evaluation]) -> dict[int, float]:
        """The values of a run's checkpoints by step, in the order of steps. The last evaluation of a step counts.

        All are of the same weights, with or without EMA, and of the same seed: those of the evaluations during training
        if there are any, or else of the newest evaluation.
        """
        key = self.example.protocol[self.score]
        comparable = [e for e in evaluations if e.protocol.get(self.score) == key]
        found = [(step, e) for e in comparable if (step := e.evaluated.step) is not None]
        if not found:
            return {}
        _, newest = ([one for one in found if one[1].evaluated.kind == "training"] or found)[-1]
        kind = newest.evaluated.ema, newest.seed
        values = {step: e.scores[self.score] for step, e in found if (e.evaluated.ema, e.seed) == kind}
        return dict(sorted(values.items()))

    def best(self) -> set[int]:
        """Indices of the runs with the best value; empty if the values do not differ or do not rate quality."""
        values = {index: e.scores[self.score] for index, e in self.evaluations.items()}
        finite = {value for value in values.values() if math.isfinite(value)}
        if self.better is None or len(set(map(str, values.values()))) < 2 or not finite:
            return set()
        best = max(finite) if self.better == "higher" else min(finite)
        return {index for index, value in values.items() if value == best}


def score_columns(runs: Sequence[Sequence[Evaluation]]) -> list[Column]:
    """One column for each score and protocol, with the newest evaluation of each run; ordered by score.

    Args:
        runs: the evaluations of each run, oldest first.
    """
    found: dict[tuple[str, str], Column] = {}
    for index, evaluations in enumerate(runs):
        for evaluation in evaluations:
            for score, key in evaluation.protocol.items():
                column = found.setdefault((score, key), Column(score, evaluation))
                column.evaluations[index] = evaluation  # a newer one replaces an older one
    ordered = sorted(found.values(), key=lambda column: column.score)
    for column, number in zip(ordered, _numbers([column.score for column in ordered]), strict=True):
        column.number = number
    return ordered


def explain_columns(columns: Sequence[Column]) -> list[str]:
    """Sentences that explain why a score has several columns: how each differs from the first."""
    sentences = []
    firsts: dict[str, Column] = {}
    for column in columns:
        first = firsts.setdefault(column.score, column)
        if column is not first:
            pairs = differences(column.score, first.example, column.example)
            listed = ", ".join(f"{name} ({_abbreviate(a)} and {_abbreviate(b)})" for name, (a, b) in pairs.items())
            sentences.append(f"{first.title} and {column.title} are not comparable: they differ in {listed}")
    return sentences


def recipe_settings(recipes: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """All dotted keys, with the value in each recipe; None if it lacks the key."""
    flat = [_settings(recipe) for recipe in recipes]
    keys = dict.fromkeys(key for values in flat for key in values)
    return {key: [values.get(key) for values in flat] for key in keys}


def recipe_differences(recipes: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Those of `recipe_settings` whose values differ."""
    return {key: row for key, row in recipe_settings(recipes).items() if any(value != row[0] for value in row)}


def _settings(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a recipe by dotted keys. A value that changes in a segment has all values and their steps."""
    flat = dict(_flatten({key: value for key, value in recipe.items() if key != SEGMENTS}))
    for segment in recipe.get(SEGMENTS) or ():
        for name, value in segment["set"].items():
            for key, new in _flatten(value, name):
                flat[key] = f"{flat.get(key)}, from step {segment['step']:,}: {new}"
    return flat


def _flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Values by dotted keys. List items are keyed by component name, so that an insertion does not shift the others."""
    if isinstance(value, Mapping):
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, (list, tuple)) and all(isinstance(item, Mapping) for item in value):
        names = [str(item.get("name", index)) for index, item in enumerate(value)]
        keys = [f"{name}#{number}" if number else name for name, number in zip(names, _numbers(names), strict=True)]
        items = list(zip(keys, value, strict=True))
    else:
        yield path, value
        return
    if not items:
        yield path, None
    for key, item in items:
        yield from _flatten(item, f"{path}.{key}" if path else key)


def _numbers(names: Sequence[str]) -> list[int]:
    """The number of each name among equal ones, counted from 1; 0 for a unique name."""
    return [names[: index + 1].count(name) if names.count(name) > 1 else 0 for index, name in enumerate(names)]


def _abbreviate(value: Any) -> str:
    text = "none" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
    return text if len(text) <= 60 else f"{text[:12]}..."
