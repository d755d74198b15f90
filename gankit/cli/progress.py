"""Show the progress of training: a panel on a terminal, otherwise lines. Losses are read only when they are shown."""

from __future__ import annotations

from ..interfaces import Run, Scalars
from ..messages import format_duration
from ..progress.meter import Meter
from ..reports.loss_names import OUTPUTS, loss_names, loss_title
from .console import is_terminal, output_console
from .progress_panel import ProgressPanel

LINE_SECONDS = 10.0


class ProgressLines:
    """A callback that prints a line at the first step, every ten seconds and at the end."""

    _meter: Meter  # since the start or the last return to a checkpoint

    def __init__(self) -> None:
        self._console = output_console()
        self._first = True

    def on_run_start(self, run: Run) -> None:
        self._console.print(f"{run.recipe.name}: {run.total_steps:,} steps into {run.directory}/")
        self._meter = Meter(run)

    def on_step_end(self, run: Run) -> None:
        if self._first or self._meter.is_due(LINE_SECONDS) or run.state.step == run.total_steps:
            self._first = False
            speed = self._meter.update(run)
            parts = [
                f"step {run.state.step:,}/{run.total_steps:,}",
                f"{speed.images_per_second:,.0f} images/s",
                _losses(run.scalars),
                _outputs(run.scalars),
                f"{format_duration(speed.left)} left",
            ]
            self._console.print("  ".join(filter(None, parts)))


def make_progress() -> ProgressPanel | ProgressLines:
    """A callback that shows the progress of training: a panel on a terminal, otherwise a line every ten seconds."""
    console = output_console()
    return ProgressPanel(console) if console.is_interactive and is_terminal(console) else ProgressLines()


def _losses(scalars: Scalars) -> str:
    """``loss D 0.887 G 1.328``, or the names that the game gives its losses."""
    values = {loss_title(name): f"{float(scalars[name]):.3f}" for name in loss_names(scalars)}
    return " ".join(f"{title} {value}" for title, value in values.items()).replace(" loss G", " G")


def _outputs(scalars: Scalars) -> str:
    """``D(real) 0.421 D(fake) -0.610``; empty if the game does not report them."""
    if not all(name in scalars for name in OUTPUTS):
        return ""
    real, fake = (f"{float(scalars[name]):.3f}" for name in OUTPUTS)
    return f"D(real) {real} D(fake) {fake}"
