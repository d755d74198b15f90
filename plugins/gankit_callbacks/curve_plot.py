"""Plots training curves with matplotlib's objects; `pyplot` is avoided because its figures are global."""

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

MAX_POINTS = 2000
MAX_VALUE = 1e15  # far above any useful value; matplotlib's axes fail for larger sums
DPI = 120
DARK, LIGHT = "#333333", "#dddddd"


class Style(NamedTuple):
    """Label and color of a curve; the colors are Okabe and Ito's, which color-blind readers can distinguish."""

    label: str
    color: str


LOSSES = {"discriminator_loss": Style("discriminator", "#0072B2"), "generator_loss": Style("generator", "#D55E00")}
OUTPUTS = {"real_logits": Style("on real", "#009E73"), "fake_logits": Style("on fake", "#CC79A7")}
GRADIENTS = {name.replace("loss", "gradient"): style for name, style in LOSSES.items()}
FURTHER_COLORS = ("#E69F00", "#56B4E9", "#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7")


def draw_curves(curves: Mapping[str, tuple[Sequence[int], Sequence[float]]], name: str, step: int, path: Path) -> None:
    """Write the curves of the run ``name`` up to ``step`` as a PNG.

    The losses, D's output and the gradient norms have a panel each if there are any, and other scalars share one. Long
    curves are thinned to 2000 points; NaN and infinity leave a gap, and the first of them is marked.

    Args:
        curves: steps and values by the scalar's name.
    """
    further = [name for name in curves if name not in LOSSES | OUTPUTS | GRADIENTS]
    others = {name: Style(name.replace("_", " "), c) for name, c in zip(further, cycle(FURTHER_COLORS))}
    judged = any(name in curves for name in ("discriminator_loss", *OUTPUTS))  # not in a game of one player
    panels = [
        *([("loss", LOSSES)] if judged or "generator_loss" in curves else []),
        *([("D's mean output (logit)", OUTPUTS)] if judged else []),
        *([("gradient norm", GRADIENTS)] if GRADIENTS.keys() & curves.keys() else []),
        *([("other scalars", others)] if others else []),
    ]
    figure = Figure(figsize=(9, 0.7 + 2.7 * len(panels)), dpi=DPI, layout="constrained", facecolor="white")
    canvas = FigureCanvasAgg(figure)
    column = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    windows = [
        _draw_panel(axes, quantity, {n: (*curves[n], style) for n, style in styles.items() if n in curves})
        for axes, (quantity, styles) in zip(column, panels, strict=True)
    ]
    for axes, (_, styles) in zip(column, panels, strict=True):
        if styles is OUTPUTS:
            axes.axhline(0, color=DARK, linewidth=0.8, linestyle="--", zorder=1)  # equal probability of real and fake
    figure.align_ylabels(column)
    column[0].set_title(name, loc="left", fontweight="bold", color=DARK, parse_math=False)
    column[0].set_title(f"step {step:,}", loc="right", fontsize="medium", color=DARK)
    smoothed = f"   (faint: logged values; bold: mean over {max(windows)} points)" if max(windows) > 1 else ""
    column[-1].set_xlabel(f"step{smoothed}", color=DARK)
    column[-1].set_xlim(0, max(step, 1))
    column[-1].xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    column[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    with gankit.whole_file(path) as temporary:
        canvas.print_png(temporary)  # unlike `savefig`, it does not compute the layout twice


def _draw_panel(axes: Axes, quantity: str, curves: Mapping[str, tuple[Sequence[int], Sequence[float], Style]]) -> int:
    """Draw the curves of one panel. Returns the number of points that they are averaged over."""
    axes.set_ylabel(quantity, color=DARK)
    axes.grid(color=LIGHT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LIGHT)
    axes.tick_params(colors=DARK, length=0)
    shown, window = [], 1
    not_finite: int | None = None
    for steps, values, style in curves.values():
        if (first := _first_not_finite(steps, values)) is not None:
            not_finite = first if not_finite is None else min(not_finite, first)
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
    if not_finite is not None:
        axes.axvline(
            not_finite, color="#c00000", linestyle=":", linewidth=1.2, label=f"not finite: step {not_finite:,}"
        )
    axes.set_ylim(*limits(shown))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, labelcolor=DARK, fontsize="small")
    return window


def thinned(steps: Sequence[int], values: Sequence[float]) -> tuple[Floats, Floats]:
    """Every k-th point, counted from the last, so that at most 2000 remain; infinity becomes NaN."""
    stride = -(-len(steps) // MAX_POINTS)
    x, y = (np.asarray(numbers, np.float64)[::-1][::stride][::-1] for numbers in (steps, values))
    return x, np.where(np.isfinite(y), np.clip(y, -MAX_VALUE, MAX_VALUE), np.nan)


def smoothed(values: Floats, window: int) -> Floats:
    """Centered moving average over ``window`` (odd) points, fewer at the ends; NaN where the value is NaN."""
    known = np.isfinite(values)
    kernel = np.ones(window)
    count = np.convolve(known, kernel, "same")
    total = np.convolve(np.where(known, values, 0.0), kernel, "same")
    return np.where(known, total / np.maximum(count, 1), np.nan)


def limits(shown: Sequence[Floats]) -> tuple[float, float]:
    """Limits of the vertical axis: the 1st to the 99th percentile, so that outliers do not flatten the curves."""
    values = np.concatenate([np.zeros(0), *shown])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    ends = np.array([part[-1] for part in shown if len(part) and np.isfinite(part[-1])])
    low, high = np.percentile(values, [1, 99]) if len(values) >= 100 else (values.min(), values.max())
    low, high = min([low, *ends]), max([high, *ends])
    margin = 0.06 * (high - low) or 0.1 * abs(high) or 0.1
    return float(low - margin), float(high + margin)


def _first_not_finite(steps: Sequence[int], values: Sequence[float]) -> int | None:
    """The first step whose value is NaN or infinite."""
    bad = np.flatnonzero(~np.isfinite(np.asarray(values, np.float64)))
    return int(steps[bad[0]]) if len(bad) else None
