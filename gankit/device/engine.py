"""How a step computes: device, precision, library settings and random seeds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch

from ..errors import GankitError
from .allocator import keep_freed_memory
from .compute_mode import FASTEST, ComputeMode
from .cuda_settings import cuda_settings
from .fast_convolutions import shared_casts
from .find_device import find_precision
from .precision import full_precision
from .seeding import BUILD, STEP, callers_seed, seeded

LOW_PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}  # those of autocast
CUBLAS = "CUBLAS_WORKSPACE_CONFIG"  # torch refuses deterministic matrix products on CUDA without it


class Engine:
    """The device of one process and how it computes.

    On the CPU, the process then keeps the memory of freed tensors for the next ones (`keep_freed_memory`).

    Args:
        device: from `find_device`.
        precision: ``auto``, ``fp64``, ``fp32``, ``bf16`` or ``fp16``.
        tf32: on CUDA, let fp32 matrix products and convolutions round to TF32.
        deterministic: refuse operations whose results differ from run to run.
        rank: of this process; random numbers drawn inside the networks differ by rank.

    Raises:
        GankitError: the device does not support the precision or determinism that is asked for.
    """

    def __init__(
        self,
        device: torch.device,
        precision: str = "auto",
        *,
        tf32: bool = True,
        deterministic: bool = False,
        rank: int = 0,
    ) -> None:
        self.device, self.rank = device, rank
        self.precision = find_precision(precision, device)
        self.dtype = torch.float64 if self.precision == "fp64" else torch.float32
        self.low_dtype = LOW_PRECISIONS.get(self.precision)  # of the networks under autocast; None without it
        self.tf32, self.deterministic = tf32, deterministic
        if device.type == "cpu":
            keep_freed_memory()
        if deterministic and device.type == "cuda" and CUBLAS not in os.environ:
            raise GankitError(
                f"train.deterministic on CUDA needs {CUBLAS}=:4096:8 in the environment; set it and retry"
            )

    def autocast(self, mode: ComputeMode = FASTEST) -> AbstractContextManager[None]:
        """The precision of one update. Use one context per update: its cached casts are stale once weights change.

        Args:
            mode: of the network that runs inside the block.
        """
        if mode.precision is not None:
            return full_precision(self.device)
        return nullcontext() if self.low_dtype is None else self._low_precision(self.low_dtype)

    @contextmanager
    def _low_precision(self, dtype: torch.dtype) -> Iterator[None]:
        with torch.autocast(self.device.type, dtype), shared_casts():
            yield

    def library_settings(self) -> AbstractContextManager[None]:
        """The settings of the device's libraries during a step."""
        if self.device.type != "cuda":
            return nullcontext()
        return cuda_settings(tf32=self.tf32, benchmark=not self.deterministic)

    @contextmanager
    def step_scope(self, seed: int, step: int) -> Iterator[int]:
        """Seed all random generators from (seed, step, rank); yields a seed for latents that all ranks share."""
        before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
        entropy = np.random.SeedSequence(seed, spawn_key=(STEP, step, self.rank))
        with seeded(entropy, self.device), self.library_settings():
            try:
                if self.deterministic:
                    torch.use_deterministic_algorithms(True)
                yield callers_seed(np.random.SeedSequence(seed, spawn_key=(STEP, step, 0)))
            finally:
                if self.deterministic:
                    torch.use_deterministic_algorithms(before[0], warn_only=before[1])

    def build_scope(self, seed: int) -> AbstractContextManager[None]:
        """Seed all random generators for the initial weights, identically on all ranks."""
        return seeded(np.random.SeedSequence(seed, spawn_key=(BUILD,)), self.device)

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()
