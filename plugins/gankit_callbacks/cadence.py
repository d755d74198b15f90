"""When something is due that happens every so often."""

from __future__ import annotations

import math
import time

import gankit


class Cadence:
    """Due at the first step, every so many steps, and at the last.

    Args:
        every: steps.
        seconds: the least time between two that are neither the first nor the last.
    """

    def __init__(self, every: int, seconds: float = 0.0) -> None:
        self.every = every
        self.seconds = seconds
        self._last_step = 0
        self._last_time = -math.inf

    def start(self, run: gankit.Run) -> None:
        """In ``on_run_start``: the steps before this one are done."""
        self._last_step = run.state.step
        self._last_time = -math.inf

    def due(self, run: gankit.Run) -> bool:
        """In ``on_step_end``: whether it is time; counts as done from now on."""
        step, now = run.state.step, time.monotonic()
        periodic = step % self.every == 0 and now - self._last_time >= self.seconds
        if not (periodic or step in (1, run.total_steps)):
            return False
        self._last_step, self._last_time = step, now
        return True

    def missed(self, run: gankit.Run) -> bool:
        """In ``on_run_end``: whether the last step, reached early, still waits."""
        return run.state.step != self._last_step
