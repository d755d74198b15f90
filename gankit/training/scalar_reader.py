"""The scalars of training, read at an interval."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch

from ..device.memory import peak_memory
from ..interfaces import Run, Scalars
from .gradient_norms import GradientNorms
from .scalars_to_floats import scalars_to_floats
from .step_interval import StepInterval

COUNTERS = ("step", "epoch", "images", "seconds", "images_per_second", "peak_memory_mib")
"""The values of a reading that are not scalars of the step."""


class ScalarReader:
    """Reads the scalars of training at the first step, every ``every`` steps, and at the last. At other steps, it does
    not wait for the device.

    A reading holds ``step``, ``epoch``, ``images`` (reals used so far), ``seconds`` (of training so far,
    including those before a resume), ``images_per_second`` (since the previous reading), ``peak_memory_mib``
    (allocated on a CUDA device, otherwise of the process) and the step's scalars. Scalars that only some steps report,
    such as a lazy penalty, have their last value since the previous reading. ``generator_gradient`` and
    ``discriminator_gradient`` are the norms of the players' gradients in the step.

    A callback calls `start` in ``on_run_start``, `read` in ``on_step_end``, and `stop` when the run ends. It saves
    the state of the reader in its own.

    Args:
        every: steps between readings.
    """

    def __init__(self, every: int) -> None:
        self._interval = StepInterval(every)
        self._seconds = 0.0
        self._started: float | None = None  # monotonic time, less the seconds so far; None if the run has ended
        self._scalars: Scalars = {}
        self._gradient_norms = GradientNorms()
        self._last_images = 0
        self._last_seconds = 0.0

    def start(self, run: Run) -> None:
        """Begin with the next step, at the start of a run and after its return to a checkpoint."""
        self._interval.start(run)
        self._gradient_norms.attach(run.state)
        self._gradient_norms.discard()
        self._gradient_norms.enabled = self._interval.is_next_step_due(run)
        self._started = time.monotonic() - self._seconds
        self._last_images, self._last_seconds = run.images, self._seconds

    def read(self, run: Run) -> dict[str, float] | None:
        """The reading of this step; None if it is not due."""
        self._scalars |= run.scalars  # still on the device: this does not wait for them
        self._gradient_norms.next_step()
        reading = self._reading(run) if self._interval.due(run) else None
        self._gradient_norms.enabled = self._interval.is_next_step_due(run)
        return reading

    def stop(self) -> None:
        """End the measurements."""
        self._gradient_norms.detach()
        self._seconds, self._started = self._elapsed(), None

    def state_dict(self) -> dict[str, Any]:
        """The seconds so far, and the scalars since the last reading."""
        return {"seconds": self._elapsed(), "figures": scalars_to_floats(self._scalars)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._seconds = float(state["seconds"])
        self._scalars = {name: torch.tensor(value, dtype=torch.float64) for name, value in state["figures"].items()}

    def _elapsed(self) -> float:
        return self._seconds if self._started is None else time.monotonic() - self._started

    def _reading(self, run: Run) -> dict[str, float]:
        scalars = scalars_to_floats(self._scalars)  # first: it waits for the step, whose time counts
        gradients = {f"{player}_gradient": norm for player, (norm, _) in self._gradient_norms.read().items()}
        seconds = self._elapsed()
        rate = (run.images - self._last_images) / max(seconds - self._last_seconds, 1e-9)
        self._scalars = {}
        self._last_images, self._last_seconds = run.images, seconds
        return {
            "step": run.state.step,
            "epoch": run.epoch,
            "images": run.images,
            "seconds": round(seconds, 3),
            "images_per_second": round(rate, 2),
            "peak_memory_mib": round(peak_memory(run.device) / 2**20),
            **scalars,
            **gradients,
        }
