"""``metrics.jsonl``: one object a logged step."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
from pydantic import PositiveInt

import gankit

from .cadence import Cadence
from .scalars import as_floats

FILE = "metrics.jsonl"


class MetricsLog:
    """Appends figures of the step to ``metrics.jsonl`` at the first step, every so many, and the last.

    A line holds ``step``, ``epoch``, ``images`` (reals shown to D so far), ``seconds`` (of training so far, those
    before a resume included), ``images_per_second`` (since the last line) and the step's figures; those that only some
    steps have, such as a lazy penalty, as they last were since the line before. On resume the file is cut back to
    where the checkpoint left it; a run without a checkpoint starts it anew.

    Args:
        every: steps between two lines.
    """

    def __init__(self, *, every: PositiveInt = 10) -> None:
        self._cadence = Cadence(every)
        self._file: gankit.JsonLines | None = None
        self._bytes = 0
        self._seconds = 0.0
        self._started = 0.0
        self._figures: gankit.Scalars = {}
        self._last_images = 0
        self._last_seconds = 0.0

    def on_run_start(self, run: gankit.Run) -> None:
        self._cadence.start(run)
        if self._file is not None:  # the run went back to a checkpoint
            self._file.close()
        self._file = gankit.JsonLines(run.directory / FILE, keep_bytes=self._bytes)
        self._started = time.monotonic() - self._seconds
        self._last_images, self._last_seconds = run.images, self._seconds

    def on_step_end(self, run: gankit.Run) -> None:
        self._figures |= run.scalars  # still on the device: nothing waits for them here
        if self._cadence.due(run):
            self._append(run)

    def on_run_end(self, run: gankit.Run) -> None:
        self._close()  # no line for a step that happens to be the last before an interruption: resuming goes over it

    def on_exception(self, run: gankit.Run) -> None:
        self._close()  # without the figures: fetching them from a device that failed may fail as well

    def state_dict(self) -> dict[str, Any]:
        """The log's length, once all of it is on the disk, the seconds so far, and the figures not yet written."""
        if self._file is not None:
            self._bytes = self._file.sync()
            self._seconds = time.monotonic() - self._started
        return {"bytes": self._bytes, "seconds": self._seconds, "figures": as_floats(self._figures)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._bytes, self._seconds = int(state["bytes"]), float(state["seconds"])
        self._figures = {name: torch.tensor(value, dtype=torch.float64) for name, value in state["figures"].items()}

    def _append(self, run: gankit.Run) -> None:
        assert self._file is not None
        figures = as_floats(self._figures)  # first, since it waits for the step that the clock is to include
        seconds = time.monotonic() - self._started
        rate = (run.images - self._last_images) / max(seconds - self._last_seconds, 1e-9)
        self._file.append(
            {
                "step": run.state.step,
                "epoch": run.epoch,
                "images": run.images,
                "seconds": round(seconds, 3),
                "images_per_second": round(rate, 2),
                **figures,
            }
        )
        self._figures = {}
        self._last_images, self._last_seconds = run.images, seconds

    def _close(self) -> None:
        if self._file is not None:
            self.state_dict()
            self._file.close()
            self._file = None
