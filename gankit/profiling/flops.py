"""What a step computes and holds in memory, and what the device could."""

from __future__ import annotations

import math
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.module_tracker import ModuleTracker

from ..device.engine import Engine
from ..training.trainer import Trainer

MOST_COUNTED_STEPS = 32
MATRIX_SIDES = {"cpu": (1024, 2048), "cuda": (4096, 8192)}
MATRIX_SECONDS = 0.5


def peak_memory(device: torch.device) -> int:
    """Bytes: the most that were allocated on a CUDA device, else the most that this process had in memory."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    if sys.platform == "win32":
        return 0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def count_flops(trainer: Trainer) -> float:
    """Floating-point operations of a step, on average over as many as lazy penalties take to come round."""
    intervals = [regularizer.interval for regularizer in trainer.parts.game.regularizers.values()]
    steps = min(math.lcm(*intervals), MOST_COUNTED_STEPS)
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _OneModule()
    compiled = trainer.parts.game.compiled
    with counter, nullcontext() if compiled is None else compiled.paused():
        for _ in range(steps):
            trainer.step()
    return counter.get_total_flops() / steps


def matrix_flops(engine: Engine) -> float:
    """Floating-point operations a second of the largest product of two matrices that is fast here."""
    dtype = torch.bfloat16 if engine.precision == "bf16" else engine.dtype
    random = torch.Generator(engine.device).manual_seed(0)  # numbers, since zeros and ones cost a GPU less power
    best = 0.0
    for side in MATRIX_SIDES.get(engine.device.type, MATRIX_SIDES["cpu"]):
        one, other = (torch.rand(side, side, dtype=dtype, device=engine.device, generator=random) for _ in range(2))
        with engine.libraries():
            product = one @ other
            engine.synchronize()
            began = time.perf_counter()
            while (since := time.perf_counter()) - began < MATRIX_SECONDS:
                torch.mm(one, other, out=product)
                engine.synchronize()
                best = max(best, 2 * side**3 / (time.perf_counter() - since))
    return best


class _OneModule(ModuleTracker):
    """Takes the whole for one module. Torch's own tracker fails where a penalty differentiates a gradient."""

    def __enter__(self) -> _OneModule:
        return self

    def __exit__(self, *error: object) -> None:
        pass
