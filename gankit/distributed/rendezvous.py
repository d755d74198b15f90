"""How the processes of a run, started by torchrun, find one another, and what they say when they cannot."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import distributed

from ..errors import GankitError
from .rank_failures import LostProcessError

IN_SOURCE = re.compile(r"^\[\S*:\d+\] ")  # where in its own source a library has found it
TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def require_torchrun() -> None:
    """Raises: GankitError: the environment is not torchrun's."""
    if missing := [name for name in TORCHRUN if not os.environ.get(name)]:
        raise GankitError(f"WORLD_SIZE is above 1, but {', '.join(missing)} is not set; start with torchrun")


def on_cpu(device: str) -> bool:
    """Whether processes compute on the CPU. Raises: GankitError: the machine has no device for this one."""
    kind, _, index = device.partition(":")
    if index or kind == "mps":
        raise GankitError(
            f"train.device: {device!r} is one device, and there are {os.environ['WORLD_SIZE']} processes; "
            "use 'cuda', 'cpu' or 'auto'"
        )
    if kind == "cpu" or (kind == "auto" and not torch.cuda.is_available()):
        return True
    count, local_rank = torch.cuda.device_count(), int(os.environ["LOCAL_RANK"])
    if local_rank >= count:
        raise GankitError(
            f"this machine has {count} CUDA devices, too few for its process {local_rank} (from 0): "
            f"one process a device; start torchrun with --nproc-per-node {max(count, 1)}, or use train.device=cpu"
        )
    return False


def rendezvous() -> dict[str, Any]:
    """Where the processes find one another.

    torchrun keeps one place for all of its attempts: without a corner of its own, a restarted process finds there the
    address of one that is gone.
    """
    if distributed.is_initialized():
        return {}
    store, rank, world_size = next(distributed.rendezvous("env://"))  # type: ignore[attr-defined]
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT") or "0"
    corner = distributed.PrefixStore(f"attempt-{attempt}", store)  # type: ignore[attr-defined]
    return {"store": corner, "rank": rank, "world_size": world_size}


@contextmanager
def detect_lost_ranks() -> Iterator[None]:
    """Raises: LostProcessError: torch.distributed could not."""
    try:
        yield
    except RuntimeError as error:  # the parent of all that torch.distributed raises
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        reason = IN_SOURCE.sub("", reason).partition(". This is")[0][:200]
        raise LostProcessError(
            "another process of this run has ended or cannot be reached, and so this one ends too. Look at what that "
            f"one says; if it says nothing it was killed, perhaps for want of memory ({reason})"
        ) from error
