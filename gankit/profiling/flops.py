"""Floating-point operations: those of a training step, and those that the device reaches in a matrix product."""

from __future__ import annotations

import math
import time

import torch
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.module_tracker import ModuleTracker

from ..device.engine import Engine
from ..game.lazy_regularization import interval_of
from ..training.trainer import Trainer

MAX_COUNTED_STEPS = 32
MATRIX_SIDES = {"cpu": (1024, 2048), "cuda": (4096, 8192)}
MATRIX_SECONDS = 0.5


def count_flops(trainer: Trainer) -> float:
    """Floating-point operations per step, averaged over a full period of the lazy regularizers."""
    intervals = [interval_of(regularizer) for regularizer in trainer.context.regularizers.values()]
    steps = min(math.lcm(*intervals), MAX_COUNTED_STEPS)
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _NoModuleTracker()
    with counter, trainer.context.eager():
        for _ in range(steps):
            trainer.step()
    return counter.get_total_flops() / steps


def matrix_flops(engine: Engine) -> float:
    """Floating-point operations per second of a large matrix product in the run's precision, the best of several."""
    dtype = engine.low_dtype or engine.dtype
    random = torch.Generator(engine.device).manual_seed(0)  # random values, because constants draw less power on a GPU
    best = 0.0
    for side in MATRIX_SIDES.get(engine.device.type, MATRIX_SIDES["cpu"]):
        a, b = (torch.rand(side, side, dtype=dtype, device=engine.device, generator=random) for _ in range(2))
        with engine.library_settings():
            product = a @ b
            engine.synchronize()
            started = time.perf_counter()
            while (before := time.perf_counter()) - started < MATRIX_SECONDS:
                torch.mm(a, b, out=product)
                engine.synchronize()
                best = max(best, 2 * side**3 / (time.perf_counter() - before))
    return best


class _NoModuleTracker(ModuleTracker):
    """Does not track modules: torch's own tracker fails where a penalty differentiates a gradient."""

    def __enter__(self) -> _NoModuleTracker:
        return self

    def __exit__(self, *error: object) -> None:
        pass
