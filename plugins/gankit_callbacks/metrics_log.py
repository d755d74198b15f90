"""The callback ``metrics_log``: writes the scalars of training to ``metrics.jsonl``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
from pydantic import PositiveInt

import gankit

from .scalars_to_floats import scalars_to_floats
from .step_interval import StepInterval

FILE = "metrics.jsonl"


class MetricsLog:
    """Appends a line of scalars to ``metrics.jsonl`` at the first step, every ``every`` steps, and at the last.

    A line holds ``step``, ``epoch``, ``images`` (reals shown to D so far), ``seconds`` (of training so far, including
    those before a resume), ``images_per_second`` (since the previous line), ``peak_memory_mib`` (allocated on a CUDA
    device, otherwise of the process) and the step's scalars. Scalars that only some steps report, such as a lazy
    penalty, have their last value since the previous line. ``generator_gradient`` and ``discriminator_gradient`` are
    the norms of the players' gradients in the step. On resume the file is truncated to its length at the checkpoint;
    a run without a checkpoint starts a new file.

    Args:
        every: steps between lines.
    """

    def __init__(self, *, every: PositiveInt = 10) -> None:
        self._interval = StepInterval(every)
        self._file: gankit.JsonLines | None = None
        self._bytes = 0
        self._unwritten: list[dict[str, Any]] = []  # lines that the disk had no space for
        self._seconds = 0.0
        self._started = 0.0
        self._scalars: gankit.Scalars = {}
        self._gradient_norms = gankit.GradientNorms()
        self._last_images = 0
        self._last_seconds = 0.0

    def on_run_start(self, run: gankit.Run) -> None:
        self._interval.start(run)
        if self._file is not None:  # the run went back to a checkpoint
            self._file.close()
        self._file = gankit.JsonLines(run.directory / FILE, keep_bytes=self._bytes)
        self._write()
        self._gradient_norms.attach(run.state)
        self._gradient_norms.enabled = self._interval.is_next_step_due(run)
        self._started = time.monotonic() - self._seconds
        self._last_images, self._last_seconds = run.images, self._seconds

    def on_step_end(self, run: gankit.Run) -> None:
        self._scalars |= run.scalars  # still on the device: this does not wait for them
        self._gradient_norms.next_step()
        if self._interval.due(run):
            self._append(run)
        self._gradient_norms.enabled = self._interval.is_next_step_due(run)

    def on_run_end(self, run: gankit.Run) -> None:
        self._close()  # no line for the last step of an interrupted run: a resumed run repeats it

    def on_exception(self, run: gankit.Run) -> None:
        self._close()  # without scalars: reading them from a device that failed may fail, too

    def state_dict(self) -> dict[str, Any]:
        """The length of the log, flushed to disk, the seconds so far, and the scalars not yet written."""
        if self._file is not None:
            self._bytes = self._file.sync()
            self._seconds = time.monotonic() - self._started
        state = {"bytes": self._bytes, "seconds": self._seconds, "figures": scalars_to_floats(self._scalars)}
        return state | ({"unwritten": list(self._unwritten)} if self._unwritten else {})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._bytes, self._seconds = int(state["bytes"]), float(state["seconds"])
        self._unwritten = [dict(line) for line in state.get("unwritten", ())]
        self._scalars = {name: torch.tensor(value, dtype=torch.float64) for name, value in state["figures"].items()}

    def _append(self, run: gankit.Run) -> None:
        scalars = scalars_to_floats(self._scalars)  # first: it waits for the step, whose time counts
        gradients = {f"{player}_gradient": norm for player, (norm, _) in self._gradient_norms.read().items()}
        seconds = time.monotonic() - self._started
        rate = (run.images - self._last_images) / max(seconds - self._last_seconds, 1e-9)
        self._unwritten.append(
            {
                "step": run.state.step,
                "epoch": run.epoch,
                "images": run.images,
                "seconds": round(seconds, 3),
                "images_per_second": round(rate, 2),
                "peak_memory_mib": round(gankit.peak_memory(run.device) / 2**20),
                **scalars,
                **gradients,
            }
        )
        self._scalars = {}
        self._last_images, self._last_seconds = run.images, seconds
        self._write()

    def _write(self) -> None:
        assert self._file is not None
        while self._unwritten:
            self._file.append(self._unwritten[0])
            del self._unwritten[0]

    def _close(self) -> None:
        self._gradient_norms.detach()
        if self._file is not None:
            self.state_dict()
            self._file.close()
            self._file = None
