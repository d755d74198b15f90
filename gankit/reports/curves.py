"""Plot losses and scores of several runs against the number of real images used for training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter
from numpy.typing import NDArray

from ..files import output_file
from ..messages import truncate
from ..sampling.image_grid import require_image_format
from .comparison import Column
from .run_summary import RunSummary, all_loss_names

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # of Okabe and Ito
LINE_STYLES = ("-", "--", ":", "-.")  # for more runs than colors
MAX_POINTS = 200
MAX_PANELS = 50
MAX_VALUE = 1e30  # matplotlib cannot draw an axis far beyond

Curve = tuple[Sequence[float], Sequence[float]]
"""Numbers of images, and the value at each."""


def save_curves(names: Sequence[str], runs: Sequence[RunSummary], columns: Sequence[Column], path: Path) -> bool:
    """Write an image file with one panel for each loss, and for each score that a run has at several steps.

    Args:
        names: of the runs.
        runs: their summaries.
        columns: their scores.
        path: the file.

    Returns:
        Whether the file was written; False if there is nothing to plot.

    Raises:
        GankitError: the suffix names no format of images, or the file cannot be written.
    """
    form = require_image_format(path)
    panels: dict[str, Sequence[Curve | None]] = {
        **{loss.replace("_", " "): [run.curves.get(loss) for run in runs] for loss in all_loss_names(runs)},
        **{column.title: score_curves(column, runs) for column in columns if column.better is not None},
    }
    panels = {title: curves for title, curves in panels.items() if any(curve and len(curve[0]) > 1 for curve in curves)}
    panels = dict(list(panels.items())[:MAX_PANELS])
    if not panels:
        return False
    figure = Figure(figsize=(9, 0.7 + 2.4 * len(panels)), dpi=120, layout="constrained", facecolor="white")
    rows = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, (title, curves) in zip(rows, panels.items(), strict=True):
        _plot(axes, title, curves)
    place = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
    legend = rows[0].legend(rows[0].lines, names, frameon=False, fontsize="small", **place)
    for text in legend.get_texts():
        text.set_parse_math(False)
    rows[-1].set_xlabel("real images used for training")
    rows[-1].xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    with output_file(path) as temporary:
        figure.savefig(temporary, format=form.lower())
    return True


def score_curves(column: Column, runs: Sequence[RunSummary]) -> list[Curve | None]:
    """All values of a score with the column's protocol, for each run; None for a run without any."""
    curves: list[Curve | None] = []
    for run in runs:
        values = column.by_step(run.evaluations)
        curves.append((run.images_at(values), [*values.values()]) if values else None)
    return curves


def downsample(curve: Curve) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The means of at most 200 equally large groups of neighboring points [p], without values that cannot be drawn."""
    x, y = (np.asarray(values, np.float64) for values in curve)
    drawable = (np.abs(x) < MAX_VALUE) & (np.abs(y) < MAX_VALUE)
    x, y = x[drawable], y[drawable]
    size = max(1, -(-len(x) // MAX_POINTS))
    groups = [slice(start, start + size) for start in range(0, len(x), size)]
    return np.array([x[g].mean() for g in groups]), np.array([y[g].mean() for g in groups])


def _plot(axes: Axes, title: str, curves: Sequence[Curve | None]) -> None:
    """Plot a line for each run, even an empty one: all panels share the legend of the first."""
    axes.set_title(repr(truncate(title))[1:-1], loc="left", fontsize="medium", parse_math=False)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    for index, curve in enumerate(curves):
        x, y = downsample(curve or ((), ()))
        marker = "." if len(x) <= MAX_POINTS // 4 else ""
        style = LINE_STYLES[index // len(COLORS) % len(LINE_STYLES)]
        axes.plot(x, y, style, color=COLORS[index % len(COLORS)], linewidth=1.4, marker=marker)
