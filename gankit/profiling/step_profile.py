"""How long each phase of a training step takes.

A run reports the end of each phase to one hook. Without a profiler the hook does nothing, and no step waits for the
device.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from ..device.memory import peak_memory
from ..errors import GankitError
from ..game.optimizer_step import OPTIMIZER, PHASES
from ..training.callbacks import CALLBACKS
from ..training.step import DATA, EMA, OTHER
from ..training.trainer import Trainer
from .flops import count_flops, matrix_flops

WARM_UP = 10  # the first steps fill caches, choose kernels and draw the first images
PARTS = (DATA, *PHASES.values(), OPTIMIZER, EMA, CALLBACKS, OTHER)


@dataclass(frozen=True)
class StepProfile:
    """The measurements of ``steps`` steps after the warm-up.

    Attributes:
        images: real images that the steps used.
        seconds: of all steps, synchronized with the device only before and after them.
        parts: seconds in each of `PARTS`, synchronized with the device after each phase.
        callbacks: seconds of each callback by name, and of writing checkpoints, included in ``parts["callbacks"]``.
        checkpoint: seconds of writing one checkpoint after these steps, and of each callback that then acts, by name.
        peak_bytes: peak memory: allocated on a CUDA device, otherwise of the whole process.
        flops: floating-point operations of the networks; a multiplication and an addition count one each.
        peak_flops: operations per second that the device reaches in large matrix products in the run's precision.
    """

    steps: int
    images: int
    seconds: float
    parts: dict[str, float]
    callbacks: dict[str, float]
    checkpoint: dict[str, float]
    peak_bytes: int
    flops: float
    peak_flops: float


def profile_steps(trainer: Trainer, steps: int, warm_up: int = WARM_UP) -> StepProfile:
    """Start the run, measure it, and interrupt it."""
    engine = trainer.setup.engine
    # the run must not end during the measurement: callbacks do more at the last step
    endless = {"steps": sys.maxsize, "epochs": None, "images": None}
    trainer.progress.train = trainer.progress.train.model_copy(update=endless)
    whole, stopwatch, saving = (Stopwatch(engine.synchronize) for _ in range(3))
    trainer.setup.on_phase_end(stopwatch.lap)
    with closing(iter(trainer)) as training:
        _advance(training, trainer, warm_up)
        if engine.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(engine.device)
        if engine.device.type != "cpu":  # on a CPU there is nothing to wait for: one measurement serves both
            with whole.running():
                _advance(training, trainer, steps)
        images = trainer.images
        with stopwatch.running():
            _advance(training, trainer, steps)
        images = trainer.images - images
        peak_bytes = peak_memory(engine.device)
        trainer.setup.on_phase_end(saving.lap)
        with saving.running():
            trainer.save()
        flops = count_flops(trainer) * steps
    parts = {part: stopwatch.seconds[part] for part in PARTS}
    callbacks = {name: seconds for name, seconds in stopwatch.seconds.items() if name not in PARTS}
    parts[CALLBACKS] += sum(callbacks.values())
    seconds = sum((whole.seconds or parts).values())
    return StepProfile(
        steps, images, seconds, parts, callbacks, dict(saving.seconds), peak_bytes, flops, matrix_flops(engine)
    )


class Stopwatch:
    """Assigns each interval of time to one phase, so that the phases add up to the whole.

    Args:
        synchronize: waits for the device.
    """

    def __init__(self, synchronize: Callable[[], None]) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._synchronize = synchronize
        self._since: float | None = None

    def lap(self, phase: str) -> None:
        """Add the time since the last lap, including the device's work, to ``phase``."""
        if self._since is not None:
            now = self._now()
            self.seconds[phase] += now - self._since
            self._since = now

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure inside the block only."""
        self._since = self._now()
        try:
            yield
            self.lap(CALLBACKS)
        finally:
            self._since = None

    def _now(self) -> float:
        self._synchronize()
        return time.perf_counter()


def _advance(training: Iterator[Any], trainer: Trainer, steps: int) -> None:
    """Run this many steps. Raises: GankitError: the run ends before."""
    for _ in range(steps):
        if next(training, None) is None:
            raise GankitError(
                f"the run ended at step {trainer.state.step:,}, before the measurement was complete "
                f"({trainer.ending}); measure fewer steps, or remove what ends it"
            )
