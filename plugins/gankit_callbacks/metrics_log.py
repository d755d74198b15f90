"""The callback ``metrics_log``: writes the scalars of training to ``metrics.jsonl``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import PositiveInt

import gankit

FILE = "metrics.jsonl"


class MetricsLog:
    """Appends a line of scalars to ``metrics.jsonl`` at the first step, every ``every`` steps, and at the last.

    A line holds ``step``, ``epoch``, ``images`` (reals used so far), ``seconds`` (of training so far, including
    those before a resume), ``images_per_second`` (since the previous line), ``peak_memory_mib`` (allocated on a CUDA
    device, otherwise of the process) and the step's scalars. Scalars that only some steps report, such as a lazy
    penalty, have their last value since the previous line. ``generator_gradient`` and ``discriminator_gradient`` are
    the norms of the players' gradients in the step, after ``train.clip_gradient``. On resume the file is truncated to
    its length at the checkpoint; a run without a checkpoint starts a new file.

    Args:
        every: steps between lines.
    """

    def __init__(self, *, every: PositiveInt = 10) -> None:
        self._reader = gankit.ScalarReader(every)
        self._file: gankit.JsonLines | None = None
        self._bytes = 0
        self._unwritten: list[dict[str, Any]] = []  # lines that the disk had no space for

    def on_run_start(self, run: gankit.Run) -> None:
        if self._file is not None:  # the run went back to a checkpoint
            self._file.close()
        self._file = gankit.JsonLines(run.directory / FILE, keep_bytes=self._bytes)
        self._write()
        self._reader.start(run)

    def on_step_end(self, run: gankit.Run) -> None:
        if line := self._reader.read(run):
            self._unwritten.append(line)
            self._write()

    def on_run_end(self, run: gankit.Run) -> None:
        self._close()  # no line for the last step of an interrupted run: a resumed run repeats it

    def on_exception(self, run: gankit.Run) -> None:
        self._close()  # without scalars: reading them from a device that failed may fail, too

    def state_dict(self) -> dict[str, Any]:
        """The length of the log, flushed to disk, the seconds so far, and the scalars not yet written."""
        if self._file is not None:
            self._bytes = self._file.sync()
        state = {"bytes": self._bytes, **self._reader.state_dict()}
        return state | ({"unwritten": list(self._unwritten)} if self._unwritten else {})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._bytes = int(state["bytes"])
        self._unwritten = [dict(line) for line in state.get("unwritten", ())]
        self._reader.load_state_dict(state)

    def _write(self) -> None:
        assert self._file is not None
        while self._unwritten:
            self._file.append(self._unwritten[0])
            del self._unwritten[0]

    def _close(self) -> None:
        self._reader.stop()
        if self._file is not None:
            self._bytes = self._file.sync()
            self._file.close()
            self._file = None
