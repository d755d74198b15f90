"""Scores of several runs in columns: one column holds one score under one protocol."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..evaluation.record import Better, Evaluation, differences


@dataclass
class Column:
    """Comparable scores.

    Attributes:
        score: its name.
        number: counts the columns of one score, from 1; 0 where there is one only.
        example: an evaluation by this protocol.
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
        """Whether lower or higher values are; None where that tells nothing."""
        found = (m.better for e in self.evaluations.values() for m in e.metrics.values() if self.score in m.better)
        return next((better[self.score] for better in found), None)

    def best(self) -> set[int]:
        """The runs with the best value; none where nothing tells them from the others."""
        values = {index: e.scores[self.score] for index, e in self.evaluations.items()}
        known = {value for value in values.values() if math.isfinite(value)}
        if self.better is None or len(set(map(str, values.values()))) < 2 or not known:
            return set()
        top = max(known) if self.better == "higher" else min(known)
        return {index for index, value in values.items() if value == top}


def columns(runs: Sequence[Sequence[Evaluation]]) -> list[Column]:
    """The columns that the evaluations of some runs need: of each run the newest, by score and protocol."""
    found: dict[tuple[str, str], Column] = {}
    for index, evaluations in enumerate(runs):
        for evaluation in evaluations:  # oldest first, so that the newest stays
            for score, key in evaluation.protocol.items():
                column = found.setdefault((score, key), Column(score, evaluation))
                column.evaluations[index] = evaluation
    ordered = sorted(found.values(), key=lambda column: column.score)
    for _, group in itertools.groupby(ordered, lambda column: column.score):
        alike = list(group)
        if len(alike) > 1:
            for number, column in enumerate(alike, 1):
                column.number = number
    return ordered


def explain(found: Sequence[Column]) -> list[str]:
    """Why scores of one name stand in several columns: each is told from the first by what differs."""
    sentences = []
    firsts: dict[str, Column] = {}
    for column in found:
        first = firsts.setdefault(column.score, column)
        if column is not first:
            pairs = differences(column.score, first.example, column.example)
            said = ", ".join(f"{name} ({_short(a)} and {_short(b)})" for name, (a, b) in pairs.items())
            sentences.append(f"{first.title} and {column.title} cannot be compared: they differ in {said}")
    return sentences


def recipe_differences(recipes: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The dotted keys of which the recipes' values differ, with each recipe's value; None where it has no such key."""
    flat = [dict(_flat(recipe)) for recipe in recipes]
    keys = dict.fromkeys(key for values in flat for key in values)
    rows = {key: [values.get(key) for values in flat] for key in keys}
    return {key: row for key, row in rows.items() if any(value != row[0] for value in row)}


def _flat(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """Scalars by their dotted keys; components of a list by their names, so that one more does not shift the rest."""
    if isinstance(value, Mapping):
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, (list, tuple)) and value and all(isinstance(item, Mapping) for item in value):
        names = [str(item.get("name", index)) for index, item in enumerate(value)]
        items = [
            (name if names.count(name) == 1 else f"{name}#{names[: index + 1].count(name)}", value[index])
            for index, name in enumerate(names)
        ]
    else:
        return [(path, None if value in ((), []) else value)]
    if not items:
        return [(path, None)]
    return [pair for key, item in items for pair in _flat(item, f"{path}.{key}" if path else key)]


def _short(value: Any) -> str:
    text = "none" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
    return text if len(text) <= 60 else f"{text[:12]}..."
