"""The environment that torchrun sets, and how the processes that it starts find each other."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import distributed

from ..errors import GankitError

TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def launch_id() -> str | None:
    """torchrun's id of this launch (``--rdzv-id``), the same for all its restarts; None without torchrun."""
    return os.environ.get("TORCHELASTIC_RUN_ID")


def world_size() -> int:
    """The number of processes that torchrun started; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def require_torchrun() -> None:
    """Raises: GankitError: torchrun's environment variables are incomplete."""
    if missing := [name for name in TORCHRUN if not os.environ.get(name)]:
        raise GankitError(f"WORLD_SIZE is above 1, but {', '.join(missing)} is not set; start with torchrun")


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
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT") or "0"
    prefixed = distributed.PrefixStore(f"attempt-{attempt}", store)  # type: ignore[attr-defined]
    return {"store": prefixed, "rank": rank, "world_size": size}
