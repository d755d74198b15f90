"""Show the progress of training: a bar on a terminal, otherwise lines. Losses are read only when they are shown."""

from __future__ import annotations

import time
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn

from ..interfaces import Run, Scalars
from ..messages import format_duration
from ..reports.loss_names import loss_names, loss_title
from .console import output_console

BAR_SECONDS = 1.0  # between updates of the bar, each of which waits for the device
LINE_SECONDS = 10.0


class Meter:
    """Measures images per second since the last update, and estimates the time left from this start's average."""

    def __init__(self, run: Run) -> None:
        self._started = self._updated = time.monotonic()
        self._first_step, self._images = run.state.step, run.images

    def is_due(self, interval: float) -> bool:
        """Whether the last update was at least ``interval`` seconds ago."""
        return time.monotonic() - self._updated >= interval

    def update(self, run: Run) -> dict[str, str]:
        """The texts to show now."""
        now = time.monotonic()
        rate = (run.images - self._images) / max(now - self._updated, 1e-9)
        seconds_per_step = (now - self._started) / max(run.state.step - self._first_step, 1)
        self._updated, self._images = now, run.images
        return {
            "step": f"{run.state.step:,}/{run.total_steps:,}",
            "rate": f"{rate:,.0f} images/s",
            "losses": _losses(run.scalars),
            "left": f"{format_duration((run.total_steps - run.state.step) * seconds_per_step)} left",
        }


def _losses(scalars: Scalars) -> str:
    """``loss D 0.887 G 1.328``, or the terms of a game that calls them otherwise."""
    values = {loss_title(name): f"{float(scalars[name]):.3f}" for name in loss_names(scalars)}
    return " ".join(f"{title} {value}" for title, value in values.items()).replace(" loss G", " G")


class ProgressLines:
    """A callback that prints a line at the first step, every ten seconds and at the end."""

    _meter: Meter  # since the start

    def __init__(self) -> None:
        self._console = output_console()
        self._first = True

    def on_run_start(self, run: Run) -> None:
        self._console.print(f"{run.recipe.name}: {run.total_steps:,} steps into {run.directory}/")
        self._meter = Meter(run)

    def on_step_end(self, run: Run) -> None:
        if self._first or self._meter.is_due(LINE_SECONDS) or run.state.step == run.total_steps:
            self._first = False
            shown = self._meter.update(run)
            self._console.print(f"step {shown['step']}  {shown['rate']}  {shown['losses']}  {shown['left']}")


class ProgressBar:
    """A callback that keeps a bar below all other output."""

    _meter: Meter  # since the start or the last return to a checkpoint

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("step {task.fields[step]}  {task.fields[rate]}  {task.fields[losses]}  {task.fields[left]}"),
            console=output_console(),
        )
        self._task: Any = None

    def on_run_start(self, run: Run) -> None:
        self._meter = Meter(run)
        fields: dict[str, Any] = dict.fromkeys(("rate", "losses", "left"), "")
        fields["step"] = f"{run.state.step:,}/{run.total_steps:,}"
        if self._task is not None:  # the run returned to a checkpoint
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(run.recipe.name, total=run.total_steps, completed=run.state.step, **fields)
        self._progress.console.print(f"into {run.directory}/")
        self._progress.start()

    def on_step_end(self, run: Run) -> None:
        if self._meter.is_due(BAR_SECONDS) or run.state.step == run.total_steps:
            fields: dict[str, Any] = self._meter.update(run)
            self._progress.update(self._task, completed=run.state.step, **fields)

    def on_exception(self, run: Run) -> None:
        self._progress.stop()

    def on_run_end(self, run: Run) -> None:
        self._progress.stop()


def make_progress() -> ProgressBar | ProgressLines:
    """A callback that shows the progress of training: a bar on a terminal, otherwise a line every ten seconds."""
    return ProgressBar() if output_console().is_terminal else ProgressLines()
