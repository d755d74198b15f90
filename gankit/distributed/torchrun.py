"""The environment that torchrun sets."""

from __future__ import annotations

import os

from ..errors import GankitError

TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def launch_id() -> str | None:
    """torchrun's id of this launch (``--rdzv-id``), the same for all its restarts; None without torchrun."""
    return os.environ.get("TORCHELASTIC_RUN_ID")


def restart_count() -> int:
    """How often torchrun has restarted the processes after a failure; 0 without torchrun."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT") or 0)


def world_size() -> int:
    """The number of processes that torchrun started; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def rank() -> int:
    """The rank of this process; 0 without torchrun."""
    return int(os.environ.get("RANK") or 0) if world_size() > 1 else 0


def require_torchrun() -> None:
    """Raises: GankitError: torchrun's environment variables are incomplete."""
    if missing := [name for name in TORCHRUN if not os.environ.get(name)]:
        raise GankitError(f"WORLD_SIZE is above 1, but {', '.join(missing)} is not set; start with torchrun")
