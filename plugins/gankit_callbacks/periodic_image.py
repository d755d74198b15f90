"""Callbacks that draw an image at the first step, every few steps, and at the last."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gankit


class PeriodicImage:
    """A callback that writes an image file at the steps of ``interval``, and when an interrupted run ends.

    An image that cannot be drawn or written does not end the run. It causes one notice.
    """

    def __init__(self, interval: gankit.StepInterval) -> None:
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
                reason = gankit.one_line(error)
                message = f"{name} cannot be drawn: {reason}; training continues without the picture"
                run.log(gankit.Notice("picture_missing", message))
