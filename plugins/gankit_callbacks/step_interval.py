"""Callbacks that act at the first step, every few steps, and at the last."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import gankit


class StepInterval:
    """Decides at which steps a callback acts: the first, every ``every``-th, and the last.

    Args:
        every: steps.
        seconds: minimum time between two actions; it does not delay the first and the last.
    """

    def __init__(self, every: int, seconds: float = 0.0) -> None:
        self.every, self.seconds = every, seconds
        self._last_step = 0
        self._last_time = -math.inf

    def start(self, run: gankit.Run) -> None:
        """Call in ``on_run_start``: the steps of earlier sessions are done."""
        self._last_step = run.state.step
        self._last_time = -math.inf

    def due(self, run: gankit.Run) -> bool:
        """Call in ``on_step_end``: whether to act now; if so, the step counts as done."""
        step, now = run.state.step, time.monotonic()
        periodic = step % self.every == 0 and now - self._last_time >= self.seconds
        if not (periodic or step in (1, run.total_steps)):
            return False
        self._last_step, self._last_time = step, now
        return True

    def is_next_step_due(self, run: gankit.Run) -> bool:
        """Whether a callback without a minimum time will act at the next step."""
        step = run.state.step + 1
        return step % self.every == 0 or step in (1, run.total_steps)

    def missed(self, run: gankit.Run) -> bool:
        """Call in ``on_run_end``: whether the last step is not done yet, as when the run was interrupted."""
        return run.state.step != self._last_step


class PeriodicImage:
    """A callback that writes an image file at the steps of ``interval``, and when an interrupted run ends.

    An image that cannot be drawn or written does not end the run. It causes one notice.
    """

    def __init__(self, interval: StepInterval) -> None:
        self._interval = interval
        self._has_failed = False

    def on_run_start(self, run: gankit.Run) -> None:
        self._interval.start(run)

    def on_step_end(self, run: gankit.Run) -> None:
        if self._interval.due(run):
            self._write(run)

    def on_run_end(self, run: gankit.Run) -> None:
        if self._interval.missed(run):
            self._write(run)

    def _write(self, run: gankit.Run) -> None:
        raise NotImplementedError

    def _draw(self, run: gankit.Run, name: str, draw: Callable[[Path], None]) -> None:
        """Call ``draw`` with the path of a file in the run directory; log its first failure."""
        try:
            draw(run.directory / name)
        except Exception as error:
            if not self._has_failed:
                self._has_failed = True
                reason = " ".join(str(error).split()) or type(error).__name__
                message = f"{name} cannot be drawn: {reason}; training continues without the picture"
                run.log(gankit.Notice("picture_missing", message))
