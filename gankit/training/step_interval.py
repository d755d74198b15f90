"""Callbacks that act at the first step, every few steps, and at the last."""

from __future__ import annotations

import math
import time

from ..interfaces import Run


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

    def start(self, run: Run) -> None:
        """Call in ``on_run_start``: the steps of earlier sessions are done."""
        self._last_step = run.state.step
        self._last_time = -math.inf

    def due(self, run: Run) -> bool:
        """Call in ``on_step_end``: whether to act now; if so, the step counts as done."""
        step, now = run.state.step, time.monotonic()
        periodic = step % self.every == 0 and now - self._last_time >= self.seconds
        if not (periodic or step in (1, run.total_steps)):
            return False
        self._last_step, self._last_time = step, now
        return True

    def is_next_step_due(self, run: Run) -> bool:
        """Whether a callback without a minimum time will act at the next step."""
        step = run.state.step + 1
        return step % self.every == 0 or step in (1, run.total_steps)

    def missed(self, run: Run) -> bool:
        """Call in ``on_run_end``: whether the last step is not done yet, as when the run was interrupted."""
        return run.state.step != self._last_step
