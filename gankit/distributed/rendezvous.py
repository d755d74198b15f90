"""How the processes that torchrun starts find each other and their devices."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import distributed

from ..errors import GankitError
from .torchrun import restart_count, world_size


def uses_cpu(device: str) -> bool:
    """Whether the processes compute on the CPU. Raises: GankitError: this machine lacks a device for this process."""
    kind, _, index = device.partition(":")
    if index or kind == "mps":
        raise GankitError(
            f"train.device: {device!r} is a single device, but the run has {world_size()} processes; "
            "use 'cuda', 'cpu' or 'auto'"
        )
    if kind == "cpu" or (kind == "auto" and not torch.cuda.is_available()):
        return True
    count, local_rank = torch.cuda.device_count(), int(os.environ["LOCAL_RANK"])
    if local_rank >= count:
        raise GankitError(
            f"this machine has {count} CUDA devices, too few for its process {local_rank} (counted from 0): "
            f"each process needs its own; start torchrun with --nproc-per-node {max(count, 1)}, or use train.device=cpu"
        )
    return False


def rendezvous() -> dict[str, Any]:
    """Arguments for ``init_process_group``: the store, the rank and the world size.

    torchrun uses one store for all restarts. The restart count in the prefix keeps a restarted process from reading
    the address of a process that no longer exists.
    """
    if distributed.is_initialized():
        return {}
    store, rank, size = next(distributed.rendezvous("env://"))  # type: ignore[attr-defined]
    prefixed = distributed.PrefixStore(f"attempt-{restart_count()}", store)  # type: ignore[attr-defined]
    return {"store": prefixed, "rank": rank, "world_size": size}
