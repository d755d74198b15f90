"""Where a step runs: device, precision and random generators, in one process or several."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch
from torch import Tensor

from ..errors import GankitError
from ..interfaces import Scalars
from ..recipe.model import Train
from ..distributed.processes import Processes
from .seeding import BUILD, STEP, further_seed, seeded
from .cuda_settings import cuda_settings

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"  # without it, torch refuses matrix products in deterministic mode


class Engine:
    """One process on one device.

    Args:
        train: the recipe's ``device``, ``precision``, ``tf32`` and ``deterministic``.
        processes: those that train together; this one alone where None.

    Raises:
        GankitError: there is no such device, or it cannot compute in that precision.
    """

    def __init__(self, train: Train, processes: Processes | None = None) -> None:
        self.processes = processes or Processes()
        self.rank, self.world_size = self.processes.rank, self.processes.world_size
        self.device = self.processes.device or _device(train.device)
        self.precision = train.precision if train.precision != "auto" else _best_precision(self.device)
        if self.precision == "fp64" and self.device.type == "mps":
            raise GankitError("train.precision: 'mps' computes no fp64; use fp32 or another train.device")
        self.dtype = torch.float64 if self.precision == "fp64" else torch.float32
        self.tf32 = train.tf32
        self.deterministic = train.deterministic
        if self.deterministic and self.device.type == "cuda" and CUBLAS not in os.environ:
            raise GankitError(
                f"train.deterministic on CUDA needs {CUBLAS}=:4096:8 in the environment; set it and retry"
            )

    def autocast(self) -> AbstractContextManager[None]:
        """The precision of one turn; one context each, since cached casts are stale once the weights have moved."""
        if self.precision != "bf16":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def full_precision(self) -> AbstractContextManager[None]:
        """Inside of a turn, the way out of bf16: for augmentations, losses and penalties."""
        return torch.autocast(self.device.type, enabled=False) if self.precision == "bf16" else nullcontext()

    def libraries(self) -> AbstractContextManager[None]:
        """How the device's libraries compute within a step."""
        if self.device.type != "cuda":
            return nullcontext()
        return cuda_settings(tf32=self.tf32, benchmark=not self.deterministic)

    def mean(self, value: Tensor) -> Tensor:
        """The mean over processes."""
        return self.processes.mean(value)

    def means(self, scalars: Scalars) -> Scalars:
        """Each figure's mean over processes, all of them at once."""
        if self.world_size == 1 or not scalars:
            return scalars
        means = self.mean(torch.stack([value.detach().to(self.dtype) for value in scalars.values()]))
        return dict(zip(scalars, means.unbind(), strict=True))

    @contextmanager
    def step_scope(self, seed: int, step: int) -> Iterator[int]:
        """Every random generator as (seed, step, rank) say; gives a seed for the step's latents, alike on all ranks."""
        strict = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
        with (
            seeded(np.random.SeedSequence(seed, spawn_key=(STEP, step, self.rank)), self.device),
            self.libraries(),
        ):
            try:
                if self.deterministic:
                    torch.use_deterministic_algorithms(True)
                yield further_seed(np.random.SeedSequence(seed, spawn_key=(STEP, step, 0)))
            finally:
                if self.deterministic:
                    torch.use_deterministic_algorithms(strict[0], warn_only=strict[1])

    def build_scope(self, seed: int) -> AbstractContextManager[int]:
        """Every random generator as the seed says, on all processes alike: for the networks' first weights."""
        return seeded(np.random.SeedSequence(seed, spawn_key=(BUILD,)), self.device)

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise GankitError(f"train.device: there is no {name!r}: torch sees {count} CUDA devices; try 'auto'")
        return torch.device("cuda", device.index or 0)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise GankitError("train.device: there is no 'mps' on this machine; try 'auto'")
    return device


def _best_precision(device: torch.device) -> str:
    """bf16 where the hardware computes it, not where it is emulated."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        able = torch.cpu.get_capabilities()
        return "bf16" if able.get("amx_bf16") or able.get("avx512_bf16") else "fp32"
    return "fp32"
