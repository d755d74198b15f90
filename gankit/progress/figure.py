"""Draws the progress of a run: samples, losses and D's outputs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from PIL import Image

from ..messages import truncate
from ..reports.curves import COLORS, downsample
from ..reports.loss_names import OUTPUTS, loss_names, loss_title
from .scalar_history import Curve

WIDTH, HEIGHT, DPI = 9.6, 4.2, 120  # inches, and pixels per inch
LINE, MAX_LINES = 150, 2  # of the status: characters, lines
FEW_POINTS = 100  # the axes show all of them


def draw_progress(samples: Image.Image, curves: Mapping[str, Curve], status: str) -> bytes:
    """A PNG of 1152 x 504 pixels.

    Args:
        samples: a grid of generated images.
        curves: the losses and, if there are any, D's outputs.
        status: above them.
    """
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, layout="constrained", facecolor="white")
    printable = "".join(c if c.isprintable() else " " for c in status)
    lines = textwrap.wrap(printable, LINE, max_lines=MAX_LINES, placeholder=" ...")
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=8, parse_math=False)
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1, 1.25))[0]
    axes = left.subplots()
    axes.imshow(samples)
    axes.axis("off")
    losses = {loss_title(name): curves[name] for name in loss_names(curves)}
    outputs = {f"D on {name.removesuffix('_logits')}": curves[name] for name in OUTPUTS if name in curves}
    panels = [("loss", losses, COLORS), *([("D's mean output (logit)", outputs, COLORS[2:])] if outputs else [])]
    column = right.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, (title, own, colors) in zip(column, panels, strict=True):
        _plot(axes, title, own, colors)
    column[-1].set_xlabel("step", fontsize=8)
    column[-1].xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    column[-1].xaxis.set_major_locator(MaxNLocator(6, integer=True))
    png = BytesIO()
    FigureCanvasAgg(figure).print_png(png)  # unlike `savefig`, it does not compute the layout twice
    return png.getvalue()


def _plot(axes: Axes, title: str, curves: Mapping[str, Curve], colors: Sequence[str]) -> None:
    axes.set_title(title, loc="left", fontsize=8)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7)
    shown = []
    for (name, curve), color in zip(curves.items(), colors, strict=False):
        x, y = downsample(curve)
        shown.append(y)
        last = f"{curve[1][-1]:.3g}" if curve[1] else ""
        marker = "." if len(x) == 1 else ""
        axes.plot(x, y, color=color, linewidth=1.2, marker=marker, label=f"{truncate(name, 30)}  {last}")
    values = np.concatenate([np.zeros(0), *shown])
    if len(values) > FEW_POINTS:  # so that the first steps do not flatten the curves
        low, high = np.percentile(values, (1, 99))
        margin = 0.06 * (high - low) or 0.1
        axes.set_ylim(low - margin, high + margin)
    if axes.lines:
        legend = axes.legend(loc="upper right", fontsize=7, framealpha=0.7, edgecolor="none")
        for text in legend.get_texts():
            text.set_parse_math(False)
