"""The curves of a run as data for the charts of its page."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...messages import truncate
from ..comparison import Column
from ..loss_names import GRADIENTS, OUTPUTS, POSITIONS, RESOURCES, loss_names, loss_title
from ..run_summary import parse_float

MAX_POINTS = 1000  # of a curve
MAX_CURVES = 100
AXES = ("step", "images", "seconds")  # that the charts can have
DIGITS = 5  # significant, of a value

Chart = dict[str, Any]
"""A chart: ``title``, ``steps`` [p], and ``series``: a list of ``label`` and ``values`` [p], where None is a gap."""


class Curves:
    """All scalars of a metrics log, by name, at the same steps.

    Args:
        lines: of the log. NaN, infinity and missing values are gaps. Lines out of order are left out.
        max_points: of a curve; more are averaged in groups.

    Attributes:
        last: the last line.
        left_out: the number of scalars above `MAX_CURVES`.
    """

    def __init__(self, lines: Iterable[Mapping[str, Any]], max_points: int = MAX_POINTS) -> None:
        self.last: Mapping[str, Any] = {}
        columns: dict[str, array[float]] = {}
        left_out: set[str] = set()
        count, before = 0, -1.0
        for line in lines:
            if not before < (step := parse_float(line.get("step"))) < math.inf:
                continue
            for name in line:
                if name not in columns and len(columns) < MAX_CURVES:
                    columns[name] = array("d", [math.nan]) * count
                elif name not in columns:
                    left_out.add(name)
            for name, values in columns.items():
                values.append(parse_float(line[name]) if name in line else math.nan)
            count, before, self.last = count + 1, step, line
        self.left_out = len(left_out)
        groups = np.array_split(np.arange(count), min(count, max_points)) if count else []
        self._starts = np.array([group[0] for group in groups], np.intp)
        self._ends = np.array([group[-1] for group in groups], np.intp)
        self._columns = {name: np.asarray(values, np.float64) for name, values in columns.items()}

    @cached_property
    def positions(self) -> dict[str, list[float]]:
        """The steps, images and seconds at which the charts have points, as far as they are logged and increase."""
        found = {name: self._columns[name][self._ends] for name in AXES if name in self._columns}
        increasing = {name: values for name, values in found.items() if (np.diff(values, prepend=-1.0) >= 0).all()}
        return {name: [float(f"{value:.15g}") for value in values] for name, values in increasing.items()}

    def losses(self) -> Chart:
        """The losses."""
        names = loss_names(name for name in self._columns if name not in POSITIONS)
        return self._chart("Losses", {name: loss_title(name) for name in names})

    def charts(self) -> list[Chart]:
        """Losses, D's outputs, gradient norms, each other scalar, speed and memory, as far as there are any."""
        names = [name for name in self._columns if name not in POSITIONS]
        losses = loss_names(names)
        others = [name for name in names if name not in (*losses, *OUTPUTS, *GRADIENTS, *RESOURCES)]
        outputs = {"real_logits": "real images", "fake_logits": "generated images"}
        players = {name: name.removesuffix("_gradient") for name in GRADIENTS}
        charts = [
            self.losses(),
            self._chart("D's mean output (logit)", outputs),
            self._chart("Gradient norms", players, logarithmic=True),
            *(self._chart(loss_title(name), {name: loss_title(name)}) for name in others),
            self._chart("Speed (images/s)", {"images_per_second": "images/s"}),
            self._chart("Peak memory (MiB)", {"peak_memory_mib": "MiB"}),
        ]
        return [chart for chart in charts if chart["series"]]

    def _chart(self, title: str, labels: Mapping[str, str], logarithmic: bool = False) -> Chart:
        known = {name: truncate(label) for name, label in labels.items() if name in self._columns}
        series = [{"label": label, "values": self._means(self._columns[name])} for name, label in known.items()]
        steps = self.positions.get("step", [])
        return {"title": truncate(title), "steps": steps, "series": series, "logarithmic": logarithmic}

    def _means(self, values: NDArray[np.float64]) -> list[float | None]:
        """The mean of the finite values of each group."""
        finite = np.isfinite(values)
        with np.errstate(over="ignore", invalid="ignore"):
            sums = np.add.reduceat(np.where(finite, values, 0.0), self._starts)
            means = sums / np.add.reduceat(finite, self._starts, dtype=np.intp)
        return [_rounded(mean) for mean in means.tolist()]


def score_chart(column: Column, points: Mapping[int, float]) -> Chart:
    """The chart of a score, from its value by step."""
    series = {"label": column.title, "values": [_rounded(value) for value in points.values()]}
    return {"title": column.title, "steps": [*points], "series": [series], "logarithmic": False}


def _rounded(value: float) -> float | None:
    """The value as JSON can represent it; None for NaN and infinity."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
