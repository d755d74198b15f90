"""The environment that torchrun sets."""

from __future__ import annotations

import os

from ..errors import GankitError
from ..messages import quote

NUMBERS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT")
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


def require_valid_environment() -> None:
    """Raises: GankitError: a variable of torchrun is not a number, or a rank is not below its number of processes."""
    for name in NUMBERS:
        if not (value := os.environ.get(name, "0")).isdecimal() and value:
            raise GankitError(f"the environment variable {name} should be a whole number; got {quote(value)}; unset it")
    for rank_name, size_name in (("RANK", "WORLD_SIZE"), ("LOCAL_RANK", "LOCAL_WORLD_SIZE")):
        own, size = (int(os.environ.get(name) or 0) for name in (rank_name, size_name))
        if world_size() > 1 and own >= max(size, 1) and os.environ.get(size_name):
            raise GankitError(f"the environment variable {rank_name} is {own}, but {size_name} is {size}")


def require_torchrun() -> None:
    """Raises: GankitError: torchrun's environment variables are incomplete."""
    if missing := [name for name in TORCHRUN if not os.environ.get(name)]:
        raise GankitError(
            f"the environment variable WORLD_SIZE is {world_size()}, but these variables of torchrun are not set: "
            f"{', '.join(missing)}; start with torchrun, or unset WORLD_SIZE to train in one process"
        )
