"""The processes that train one run together: here, one alone; `together` has several."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..errors import GankitError

T = TypeVar("T")


class OtherProcessError(GankitError):
    """Another process of the run has failed, and has said why itself."""


class LostProcessError(GankitError):
    """Another process of the run has ended or cannot be reached."""


class Processes:
    """One process, which shares with nobody.

    Attributes:
        rank: of this process among all, from 0; the first writes what there is to write.
        world_size: how many there are.
        device: of this process; None where the recipe chooses it.
        host: what work from the first process is done with, in each: its trainer.
    """

    rank = 0
    world_size = 1
    device: torch.device | None = None
    host: Any = None

    def mean(self, value: Tensor) -> Tensor:
        """The mean over all processes; a gradient goes through it."""
        return value

    def share(self, whole: Tensor) -> Tensor:
        """This process's equal share of the rows that one process would have."""
        return whole

    def whole(self, share: Tensor | None) -> Tensor | None:
        """The rows of all processes, of which each gives its share; None of None."""
        return share

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Each gradient becomes its mean over the processes; of those that lack it, it is zero.

        What has a gradient nowhere still has none.
        """

    def align(self, networks: Iterable[nn.Module]) -> None:
        """BatchNorm's statistics become their means over the processes, and other buffers the first process's."""

    def broadcast_parameters(self, networks: Iterable[nn.Module]) -> None:
        """All weights and buffers become the first process's."""

    def synchronized(self, network: nn.Module) -> nn.Module:
        """The network with its BatchNorm over the batches of all processes, where the device can do that."""
        return network

    def largest(self, *numbers: int) -> list[int]:
        """The largest of each over the processes; the device is not waited for.

        Who waits here for the first process does its share of what `everywhere` asks for meanwhile.
        """
        return list(numbers)

    def while_other_ranks_wait(self) -> AbstractContextManager[None]:
        """Where the first process works while all others wait for it in `largest`, and can be asked for help."""
        return nullcontext()

    def everywhere(self, work: Callable[..., T], *words: Any) -> list[T]:
        """In the first process: what ``work(host, part, parts, *words)`` gives in each, by rank.

        The others do their parts where they wait; elsewhere the first process does all of it alone, as one part.

        Args:
            work: a function of a module's own, so that it has a name by which the others find it.
            words: plain data.

        Raises:
            GankitError: it failed in another process.
        """
        return [work(self.host, 0, 1, *words)]

    def all_gather_object(self, value: T) -> list[T]:
        """A small value of each process, by rank."""
        return [value]

    def first(self, function: Callable[[], T]) -> T:
        """What the first process's ``function`` gives. Raises: OtherProcessError: it failed there."""
        return function()

    def rank_zero_first(self, function: Callable[[], None]) -> None:
        """Call ``function`` in the first process, then in the first of each other machine, then in all the rest.

        Raises:
            OtherProcessError: it failed in another process.
        """
        function()

    def close(self) -> None:
        """Part from the others."""


def launch_id() -> str | None:
    """What torchrun calls this start of the run (``--rdzv-id``), whichever attempt it is; None without torchrun."""
    return os.environ.get("TORCHELASTIC_RUN_ID")


def join_processes(device: str) -> Processes:
    """The processes that torchrun has started, this one among them.

    Args:
        device: the recipe's ``train.device``.

    Raises:
        GankitError: Accelerate is not installed, the environment is not torchrun's, or a device is missing.
    """
    if int(os.environ.get("WORLD_SIZE") or 1) == 1:
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
