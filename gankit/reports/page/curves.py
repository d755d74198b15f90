"""The curves of a run as data for the charts of its page."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..comparison import Column
from ..loss_names import GRADIENTS, OUTPUTS, POSITIONS, RESOURCES, loss_names, loss_title
from ..run_summary import parse_float

MAX_POINTS = 1000  # of a curve
MAX_CURVES = 100
DIGITS = 5  # significant, of a value
UNITS = {"images_per_second": "images/s", "peak_memory_mib": "MiB"}

Chart = dict[str, Any]
"""A chart: ``title``, ``steps`` [p], and ``series``: a list of ``label`` and ``values`` [p], where None is a gap."""


class Curves:
    """All scalars of a metrics log, by name, at the same steps.

    Args:
        lines: of the log. NaN, infinity and missing values are gaps.
        max_points: of a curve; more are averaged in groups.

    Attributes:
        last: the last line.
    """

    def __init__(self, lines: Iterable[Mapping[str, Any]], max_points: int = MAX_POINTS) -> None:
        self.last: Mapping[str, Any] = {}
        columns: dict[str, array[float]] = {}
        count = 0
        for line in lines:
            for name in line:
                if name not in columns and len(columns) < MAX_CURVES:
                    columns[name] = array("d", [math.nan]) * count
            for name, values in columns.items():
                values.append(parse_float(line[name]) if name in line else math.nan)
            count, self.last = count + 1, line
        self._groups = np.array_split(np.arange(count), min(count, max_points) or 1)
        self._columns = {name: np.asarray(values, np.float64) for name, values in columns.items()}

    @property
    def positions(self) -> dict[str, list[float | None]]:
        """The steps, images and seconds at which the charts have points."""
        return {name: self._last_of_groups(name) for name in ("step", "images", "seconds")}

    def losses(self) -> Chart:
        """The losses."""
        names = loss_names(name for name in self._columns if name not in POSITIONS)
        return self._chart("Losses", {name: loss_title(name) for name in names})

    def charts(self) -> list[Chart]:
        """Losses, D's outputs, gradient norms, other scalars, speed and memory, as far as there are any."""
        names = [name for name in self._columns if name not in POSITIONS]
        losses = loss_names(names)
        others = [name for name in names if name not in (*losses, *OUTPUTS, *GRADIENTS, *RESOURCES)]
        outputs = {"real_logits": "real images", "fake_logits": "generated images"}
        players = {name: name.removesuffix("_gradient") for name in GRADIENTS}
        charts = [
            self.losses(),
            self._chart("D's mean output (logit)", outputs),
            self._chart("Gradient norms", players, logarithmic=True),
            self._chart("Other scalars", {name: name.replace("_", " ") for name in others}),
            self._chart("Speed (images/s)", {"images_per_second": "images/s"}),
            self._chart("Peak memory (MiB)", {"peak_memory_mib": "MiB"}),
        ]
        return [chart for chart in charts if chart["series"]]

    def _chart(self, title: str, labels: Mapping[str, str], logarithmic: bool = False) -> Chart:
        known = {name: label for name, label in labels.items() if name in self._columns}
        series = [{"label": label, "values": self._means(self._columns[name])} for name, label in known.items()]
        return {"title": title, "steps": self.positions["step"], "series": series, "logarithmic": logarithmic}

    def _means(self, values: NDArray[np.float64]) -> list[float | None]:
        """The mean of the finite values of each group."""
        means: list[float | None] = []
        for group in self._groups:
            finite = values[group][np.isfinite(values[group])]
            means.append(_rounded(float(finite.mean())) if len(finite) else None)
        return means

    def _last_of_groups(self, name: str) -> list[float | None]:
        values = self._columns.get(name)
        return (
            [] if values is None else [_rounded(float(values[group[-1]]), 15) for group in self._groups if len(group)]
        )


def score_chart(column: Column, points: Mapping[int, float]) -> Chart:
    """The chart of a score, from its value by step."""
    series = {"label": column.title, "values": [_rounded(value) for value in points.values()]}
    return {"title": column.title, "steps": [*points], "series": [series], "logarithmic": False}


def points_of(columns: Sequence[Column], evaluations: Sequence[Any]) -> list[dict[int, float]]:
    """The value of each column's score by step, in the order of steps. The last evaluation of a step counts."""
    found = []
    for column in columns:
        key = column.example.protocol[column.score]
        comparable = [e for e in evaluations if e.protocol.get(column.score) == key and e.evaluated.step is not None]
        found.append(dict(sorted({e.evaluated.step: e.scores[column.score] for e in comparable}.items())))
    return found


def _rounded(value: float, digits: int = DIGITS) -> float | None:
    """The value as JSON can represent it; None for NaN and infinity."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None
