"""Progress: a bar on a terminal, plain lines elsewhere. Figures are read from the device only when they are shown."""

from __future__ import annotations

import time
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn

from ..interfaces import Run
from .console import out
from .duration import format_duration

REFRESH_SECONDS = 1.0
LINE_SECONDS = 10.0


class Meter:
    """Images a second since the last look, and the time left at the pace of this run so far."""

    def __init__(self) -> None:
        self._began = self._since = time.monotonic()
        self._first_step = self._images = 0

    def start(self, run: Run) -> None:
        self._began = self._since = time.monotonic()
        self._first_step, self._images = run.state.step, run.images

    def due(self, seconds: float) -> bool:
        """Whether the last look is at least so long ago."""
        return time.monotonic() - self._since >= seconds

    def look(self, run: Run) -> dict[str, Any]:
        """What to show now."""
        now = time.monotonic()
        rate = (run.images - self._images) / max(now - self._since, 1e-9)
        pace = (now - self._began) / max(run.state.step - self._first_step, 1)
        self._since, self._images = now, run.images
        losses = {name: run.scalars.get(f"{name}_loss") for name in ("discriminator", "generator")}
        shown = {name: "-" if loss is None else f"{float(loss):.3f}" for name, loss in losses.items()}
        return {
            "step": f"{run.state.step:,}/{run.total_steps:,}",
            "rate": f"{rate:,.0f} images/s",
            "losses": f"loss D {shown['discriminator']} G {shown['generator']}",
            "left": f"{format_duration((run.total_steps - run.state.step) * pace)} left",
        }


class Lines:
    """A plain line every ten seconds, at the first step and at the end."""

    def __init__(self) -> None:
        self._meter = Meter()
        self._console = out()
        self._first = True

    def on_run_start(self, run: Run) -> None:
        self._console.print(f"{run.recipe.name}: {run.total_steps:,} steps into {run.directory}/")
        self._meter.start(run)

    def on_step_end(self, run: Run) -> None:
        if self._first or self._meter.due(LINE_SECONDS) or run.state.step == run.total_steps:
            self._first = False
            shown = self._meter.look(run)
            self._console.print(f"step {shown['step']}  {shown['rate']}  {shown['losses']}  {shown['left']}")


class Bar:
    """A bar that lives below whatever else is printed."""

    def __init__(self) -> None:
        self._meter = Meter()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("step {task.fields[step]}  {task.fields[rate]}  {task.fields[losses]}  {task.fields[left]}"),
            console=out(),
        )
        self._task: Any = None

    def on_run_start(self, run: Run) -> None:
        self._meter.start(run)
        fields: dict[str, Any] = {
            "step": f"{run.state.step:,}/{run.total_steps:,}",
            "rate": "",
            "losses": "",
            "left": "",
        }
        if self._task is not None:  # the run went back to a checkpoint
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(run.recipe.name, total=run.total_steps, completed=run.state.step, **fields)
        self._progress.console.print(f"into {run.directory}/")
        self._progress.start()

    def on_step_end(self, run: Run) -> None:
        if self._meter.due(REFRESH_SECONDS) or run.state.step == run.total_steps:
            self._progress.update(self._task, completed=run.state.step, **self._meter.look(run))

    def on_exception(self, run: Run) -> None:
        self._progress.stop()

    def on_run_end(self, run: Run) -> None:
        self._progress.stop()


def make_progress() -> Bar | Lines:
    """What suits the output."""
    return Bar() if out().is_terminal else Lines()
