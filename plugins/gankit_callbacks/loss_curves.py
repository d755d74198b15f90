"""``loss_curves.png``: how the game has gone so far."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import PositiveInt

import gankit

from .cadence import Cadence
from .metrics_log import FILE
from .scalars import as_floats

PICTURE = "loss_curves.png"
SECONDS_BETWEEN = 30.0
MOST_CURVES = 200
NO_CURVES = ("step", "epoch", "images", "seconds", "images_per_second")

Curve = tuple[list[int], list[float]]
"""Steps, and the figure at each."""


class LossCurves:
    """Draws both losses, D's mean output on reals and on fakes, and further figures, over the steps.

    The curves come from ``metrics.jsonl``, and so go back to before a resume. Between the first step and the last
    they are drawn every so many steps, but at most twice a minute: reading a long log takes its time.

    Args:
        every: steps between two drawings.
    """

    def __init__(self, *, every: PositiveInt = 100) -> None:
        self._cadence = Cadence(every, SECONDS_BETWEEN)

    def on_run_start(self, run: gankit.Run) -> None:
        self._cadence.start(run)

    def on_step_end(self, run: gankit.Run) -> None:
        if self._cadence.due(run):
            self._draw(run)

    def on_run_end(self, run: gankit.Run) -> None:
        if self._cadence.missed(run):
            self._draw(run)

    def _draw(self, run: gankit.Run) -> None:
        from .drawing import draw_curves  # matplotlib is not for every run

        if curves := read_curves(run):
            draw_curves(curves, str(run.recipe.name), run.state.step, run.directory / PICTURE)


def read_curves(run: gankit.Run) -> dict[str, Curve]:
    """Every figure in the run's log, and of the step just played where the log does not have it yet."""
    curves: dict[str, Curve] = {}

    def add(step: int, figures: dict[str, object]) -> None:
        for name, value in figures.items():
            number = _number(value)
            known = name in curves or (len(curves) < MOST_CURVES and name.isprintable())
            if known and name not in NO_CURVES and number is not None:
                steps, values = curves.setdefault(name, ([], []))
                steps.append(step)
                values.append(number)

    last_step = 0
    for record in _logged(run.directory / FILE):
        if isinstance(step := record.get("step"), int):
            last_step = step
            add(last_step, record)
    if last_step < run.state.step:
        add(run.state.step, dict(as_floats(run.scalars)))
    return curves


def _logged(path: Path) -> Iterator[dict[str, Any]]:
    try:
        yield from gankit.JsonLines.read(path)
    except (OSError, ValueError) as error:
        raise gankit.GankitError(f"{path}: cannot be read: {error}; delete the damaged line") from None


def _number(value: object) -> float | None:
    """A number as JSON has it, or as a string: ``nan``, ``inf``."""
    try:
        return float(value) if isinstance(value, (int, float, str)) else None
    except (ValueError, OverflowError):
        return None
