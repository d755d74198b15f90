"""Losses and scores of several runs over the images that D has seen, in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter
from numpy.typing import NDArray

from ..errors import GankitError
from ..files import whole_file
from ..messages import truncate
from .comparison import Column
from .run_summary import LOSSES, RunSummary

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito's
LINES = ("-", "--", ":", "-.")  # for more runs than colours
MOST_POINTS = 200
MOST_PANELS = 50
LARGEST = 1e30  # what is beyond has no place on an axis

Curve = tuple[Sequence[float], Sequence[float]]
"""Images, and the figure at each."""


def save_curves(names: Sequence[str], runs: Sequence[RunSummary], scored: Sequence[Column], path: Path) -> bool:
    """Write a PNG: a panel for each loss, and for each score that some run has of several steps.

    Args:
        names: of the runs.
        runs: themselves.
        scored: the columns of their scores.
        path: the file.

    Returns:
        Whether there was anything to draw; else nothing is written.

    Raises:
        GankitError: the file cannot be written.
    """
    panels: dict[str, Sequence[Curve | None]] = {
        **{loss.replace("_", " "): [run.curves.get(loss) for run in runs] for loss in LOSSES},
        **{column.title: score_curves(column, runs) for column in scored if column.better is not None},
    }
    panels = {title: curves for title, curves in panels.items() if any(curve and len(curve[0]) > 1 for curve in curves)}
    panels = dict(list(panels.items())[:MOST_PANELS])
    if not panels:
        return False
    figure = Figure(figsize=(9, 0.7 + 2.4 * len(panels)), dpi=120, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    column = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, (title, curves) in zip(column, panels.items(), strict=True):
        _draw(axes, title, curves)
    place = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
    legend = column[0].legend(column[0].lines, names, frameon=False, fontsize="small", **place)
    for text in legend.get_texts():
        text.set_parse_math(False)
    column[-1].set_xlabel("real images shown to D")
    column[-1].xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            figure.savefig(temporary, format="png")
    except OSError as error:
        raise GankitError(f"{path}: cannot be written: {error.strerror or error}") from None
    return True


def score_curves(column: Column, runs: Sequence[RunSummary]) -> list[Curve | None]:
    """Of each run all comparable values of a score, at the images of their steps."""
    key = column.example.protocol[column.score]
    curves: list[Curve | None] = []
    for run in runs:
        alike = [e for e in run.evaluations if e.protocol.get(column.score) == key and e.evaluated.step is not None]
        values = {e.evaluated.step: e.scores[column.score] for e in alike}  # oldest first: the newest stays
        steps = sorted(step for step in values if step is not None)
        images = [step * run.images / max(run.steps, 1) for step in steps]
        curves.append((images, [values[step] for step in steps]) if steps else None)
    return curves


def thinned(curve: Curve) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means over neighbouring points, so that at most 200 stay; what is not finite is left out."""
    x, y = (np.asarray(numbers, np.float64) for numbers in curve)
    drawn = (np.abs(x) < LARGEST) & (np.abs(y) < LARGEST)
    x, y = x[drawn], y[drawn]
    groups = np.array_split(np.arange(len(x)), min(len(x), MOST_POINTS) or 1)
    return np.array([x[g].mean() for g in groups if len(g)]), np.array([y[g].mean() for g in groups if len(g)])


def _draw(axes: Axes, title: str, curves: Sequence[Curve | None]) -> None:
    """A line for each run, even an empty one, since one legend serves all panels."""
    axes.set_title(repr(truncate(title))[1:-1], loc="left", fontsize="medium", parse_math=False)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    for index, curve in enumerate(curves):
        x, y = thinned(curve or ((), ()))
        few = len(x) <= MOST_POINTS // 4
        line = LINES[index // len(COLORS) % len(LINES)]
        axes.plot(x, y, line, color=COLORS[index % len(COLORS)], linewidth=1.4, marker="." if few else "")
