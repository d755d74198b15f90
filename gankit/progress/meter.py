"""The speed of a run, and the time that is left."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ..interfaces import Run


@dataclass(frozen=True)
class Speed:
    """The speed of a run at one moment.

    Attributes:
        images_per_second: since the previous update.
        elapsed: seconds since the run was started or resumed.
        left: estimated seconds to the end of the run.
    """

    images_per_second: float
    elapsed: float
    left: float


class Meter:
    """Measures images per second since the last update, and estimates the time left from the average."""

    def __init__(self, run: Run) -> None:
        self._begun = time.monotonic()
        self.restart(run)

    def restart(self, run: Run) -> None:
        """Measure from the current step, to which the run has returned."""
        self._restarted = self._updated = time.monotonic()
        self._first_step, self._images = run.state.step, run.images

    def is_due(self, interval: float) -> bool:
        """Whether the last update was at least ``interval`` seconds ago."""
        return time.monotonic() - self._updated >= interval

    def update(self, run: Run) -> Speed:
        """The speed now."""
        now = time.monotonic()
        rate = (run.images - self._images) / max(now - self._updated, 1e-9)
        seconds_per_step = (now - self._restarted) / max(run.state.step - self._first_step, 1)
        self._updated, self._images = now, run.images
        return Speed(rate, now - self._begun, (run.total_steps - run.state.step) * seconds_per_step)
