"""Join the processes that torchrun started, if it did."""

from __future__ import annotations

from ..errors import GankitError
from .processes import Processes
from .torchrun import world_size


def join_processes(device: str) -> Processes:
    """The processes of this run, including this one.

    Args:
        device: the recipe's ``train.device``.

    Raises:
        GankitError: Accelerate is not installed, torchrun's environment is incomplete, or a device is missing.
    """
    if world_size() == 1:
        return Processes()
    try:
        from .process_group import ProcessGroup
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "accelerate":
            raise
        raise GankitError(
            "several processes (WORLD_SIZE is above 1) need Hugging Face Accelerate: pip install 'gankit[distributed]'"
        ) from None
    return ProcessGroup(device)
