"""The callback ``loss_curves``: plots the logged scalars to ``loss_curves.png``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import PositiveInt

import gankit

from .metrics_log import FILE
from .periodic_image import PeriodicImage

PICTURE = "loss_curves.png"
SECONDS_BETWEEN = 30.0
MAX_CURVES = 200
NOT_PLOTTED = ("step", "epoch", "images", "seconds", "images_per_second", "peak_memory_mib")

Curve = tuple[list[int], list[float]]
"""Steps, and the value at each."""


class LossCurves(PeriodicImage):
    """Plots both losses, D's mean output on reals and on fakes, and other scalars, over the steps.

    The values come from ``metrics.jsonl`` and include those from before a resume. Between the first step and the last,
    the plot is drawn at most every 30 seconds, since reading a long log takes time.

    Args:
        every: steps between plots.
    """

    def __init__(self, *, every: PositiveInt = 100) -> None:
        super().__init__(gankit.StepInterval(every, SECONDS_BETWEEN))

    def _write(self, run: gankit.Run) -> None:
        self._draw(run, PICTURE, lambda path: self._plot(run, path))

    def _plot(self, run: gankit.Run, path: Path) -> None:
        gankit.import_matplotlib()  # only runs with this callback import it
        from .curve_plot import draw_curves

        if curves := read_curves(run):
            draw_curves(curves, str(run.recipe.name), run.state.step, path)


def read_curves(run: gankit.Run) -> dict[str, Curve]:
    """All scalars in the run's log, and those of the current step if the log does not have them yet."""
    curves: dict[str, Curve] = {}

    def add(step: int, scalars: dict[str, object]) -> None:
        for name, value in scalars.items():
            number = _number(value)
            known = name in curves or (len(curves) < MAX_CURVES and name.isprintable())
            if known and name not in NOT_PLOTTED and number is not None:
                steps, values = curves.setdefault(name, ([], []))
                steps.append(step)
                values.append(number)

    last_step = 0
    for record in _logged(run.directory / FILE):
        if isinstance(step := record.get("step"), int):
            last_step = step
            add(last_step, record)
    if last_step < run.state.step:
        add(run.state.step, dict(gankit.scalars_to_floats(run.scalars)))
    return curves


def _logged(path: Path) -> Iterator[dict[str, Any]]:
    try:
        yield from gankit.JsonLines.read(path)
    except (OSError, ValueError) as error:
        raise gankit.GankitError(f"{path}: cannot be read: {error}; delete the damaged line") from None


def _number(value: object) -> float | None:
    """A JSON number, or a string such as ``nan`` or ``inf``, as a float; None for anything else."""
    try:
        return float(value) if isinstance(value, (int, float, str)) else None
    except (ValueError, OverflowError):
        return None
