"""The picture of the curves. Uses matplotlib's objects, never `pyplot`, whose figures are global."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from numpy.typing import NDArray

import gankit

Floats = NDArray[np.float64]

MOST_POINTS = 2000
LARGEST = 1e15  # far beyond any useful figure; axes fail on sums of larger ones
DPI = 120
INK, PALE = "#333333", "#dddddd"


class Style(NamedTuple):
    """How a curve is called and coloured; the colours are Okabe and Ito's, told apart by all eyes."""

    label: str
    color: str


LOSSES = {"discriminator_loss": Style("discriminator", "#0072B2"), "generator_loss": Style("generator", "#D55E00")}
OUTPUTS = {"real_logits": Style("on real", "#009E73"), "fake_logits": Style("on fake", "#CC79A7")}
FURTHER_COLORS = ("#E69F00", "#56B4E9", "#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7")


def draw_curves(curves: Mapping[str, tuple[Sequence[int], Sequence[float]]], name: str, step: int, path: Path) -> None:
    """Write the curves of run ``name`` up to ``step`` as a PNG.

    A panel each for the losses and for D's output, and a third where there are further figures. Long curves are
    thinned to 2000 points; figures that are no finite number leave a gap, and the first is marked.

    Args:
        curves: steps and values, by the figure's name.
    """
    further = [figure for figure in curves if figure not in LOSSES | OUTPUTS]
    others = {figure: Style(figure.replace("_", " "), c) for figure, c in zip(further, cycle(FURTHER_COLORS))}
    panels = [
        ("loss", LOSSES),
        ("D's mean output (logit)", OUTPUTS),
        *([("further figures", others)] if others else []),
    ]
    figure = Figure(figsize=(9, 0.7 + 2.7 * len(panels)), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    column = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    windows = [
        _draw_panel(axes, quantity, {n: (*curves[n], style) for n, style in styles.items() if n in curves})
        for axes, (quantity, styles) in zip(column, panels, strict=True)
    ]
    column[1].axhline(0, color=INK, linewidth=0.8, linestyle="--", zorder=1)  # real and fake alike to D
    figure.align_ylabels(column)
    column[0].set_title(name, loc="left", fontweight="bold", color=INK, parse_math=False)
    column[0].set_title(f"step {step:,}", loc="right", fontsize="medium", color=INK)
    smoothed = f"   (faint: as logged; bold: mean over {max(windows)} points)" if max(windows) > 1 else ""
    column[-1].set_xlabel(f"step{smoothed}", color=INK)
    column[-1].set_xlim(0, max(step, 1))
    column[-1].xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    column[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    with gankit.whole_file(path) as temporary:
        figure.savefig(temporary, format="png")


def _draw_panel(axes: Axes, quantity: str, curves: Mapping[str, tuple[Sequence[int], Sequence[float], Style]]) -> int:
    """Draw the curves of one quantity. Returns over how many points they are smoothed."""
    axes.set_ylabel(quantity, color=INK)
    axes.grid(color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(PALE)
    axes.tick_params(colors=INK, length=0)
    shown, window = [], 1
    broken: int | None = None
    for steps, values, style in curves.values():
        if (first := _first_broken(steps, values)) is not None:
            broken = first if broken is None else min(broken, first)
        x, raw = thinned(steps, values)
        window = max(1, len(x) // 50) | 1
        smooth = smoothed(raw, window)
        if window > 1:
            axes.plot(x, raw, color=style.color, linewidth=0.7, alpha=0.25)
        last = values[-1] if window == 1 else smooth[-1]
        label = f"{style.label}  {last:.3g}"
        alone = len(x) == 1
        axes.plot(
            x, smooth, color=style.color, linewidth=1.6, label=label, marker="o" if alone else "", clip_on=not alone
        )
        shown += [raw, smooth[-1:]]
    if broken is not None:
        axes.axvline(broken, color="#c00000", linestyle=":", linewidth=1.2, label=f"not finite: step {broken:,}")
    axes.set_ylim(*limits(shown))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, labelcolor=INK, fontsize="small")
    return window


def thinned(steps: Sequence[int], values: Sequence[float]) -> tuple[Floats, Floats]:
    """Every so many points, the last among them, so that at most 2000 stay; infinities become NaN."""
    stride = -(-len(steps) // MOST_POINTS)
    x, y = (np.asarray(numbers, np.float64)[::-1][::stride][::-1] for numbers in (steps, values))
    return x, np.where(np.isfinite(y), np.clip(y, -LARGEST, LARGEST), np.nan)


def smoothed(values: Floats, window: int) -> Floats:
    """The mean over ``window`` (odd) points around each, fewer at the ends; NaN where the value itself is."""
    known = np.isfinite(values)
    kernel = np.ones(window)
    count = np.convolve(known, kernel, "same")
    total = np.convolve(np.where(known, values, 0.0), kernel, "same")
    return np.where(known, total / np.maximum(count, 1), np.nan)


def limits(shown: Sequence[Floats]) -> tuple[float, float]:
    """What the vertical axis spans: all but the most extreme hundredth, so that a spike does not flatten the rest."""
    values = np.concatenate([np.zeros(0), *shown])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    ends = np.array([part[-1] for part in shown if len(part) and np.isfinite(part[-1])])
    low, high = np.percentile(values, [1, 99]) if len(values) >= 100 else (values.min(), values.max())
    low, high = min([low, *ends]), max([high, *ends])
    margin = 0.06 * (high - low) or 0.1 * abs(high) or 0.1
    return float(low - margin), float(high + margin)


def _first_broken(steps: Sequence[int], values: Sequence[float]) -> int | None:
    """The first step whose value is NaN or infinite."""
    bad = np.flatnonzero(~np.isfinite(np.asarray(values, np.float64)))
    return int(steps[bad[0]]) if len(bad) else None
