"""The interface to the processes of a run, and its implementation for a single process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..interfaces import Scalars

T = TypeVar("T")


class Processes:
    """A single process; `ProcessGroup` is the same interface for several.

    Attributes:
        rank: the index of this process, from 0. Rank 0 writes all files.
        world_size: the number of processes.
        device: the device of this process; None where the recipe chooses it.
        host: this rank's trainer, which `run_on_all_ranks` passes to its work.
    """

    rank = 0
    world_size = 1
    device: torch.device | None = None
    host: Any = None

    def mean(self, value: Tensor) -> Tensor:
        """The mean over all ranks, differentiable."""
        return value

    def mean_scalars(self, scalars: Scalars, dtype: torch.dtype) -> Scalars:
        """The mean of each scalar over all ranks, with one reduction in ``dtype``."""
        if self.world_size == 1 or not scalars:
            return scalars
        means = self.mean(torch.stack([value.detach().to(dtype) for value in scalars.values()]))
        return dict(zip(scalars, means.unbind(), strict=True))

    def local_rows(self, rows: Tensor) -> Tensor:
        """This rank's equal share of the rows of a tensor."""
        return rows

    def all_gather(self, rows: Tensor | None) -> Tensor | None:
        """The rows of all ranks, concatenated in rank order; None for None."""
        return rows

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace each gradient by its mean over the ranks, counting missing gradients as zero.

        A parameter that has no gradient on any rank keeps none.
        """

    def average_buffers(self, networks: Iterable[nn.Module]) -> None:
        """Average BatchNorm's statistics over the ranks, and copy other floating-point buffers from rank 0."""

    def broadcast_parameters(self, networks: Iterable[nn.Module]) -> None:
        """Copy all parameters and buffers from rank 0."""

    def convert_batchnorm(self, network: nn.Module) -> nn.Module:
        """The network with BatchNorm synchronized over the ranks, on devices that support it."""
        return network

    def max_over_ranks(self, *numbers: int) -> list[int]:
        """The maximum of each number over the ranks; does not wait for the device.

        A rank that waits here for rank 0 runs its share of `run_on_all_ranks` in the meantime.
        """
        return list(numbers)

    def while_other_ranks_wait(self) -> AbstractContextManager[None]:
        """A block in which rank 0 works while the others wait in `max_over_ranks`, ready for `run_on_all_ranks`."""
        return nullcontext()

    def run_on_all_ranks(self, work: Callable[..., T], *args: Any) -> list[T]:
        """Call ``work(host, rank, world_size, *args)`` on every rank and return the results by rank, on rank 0.

        Where the other ranks are not waiting, rank 0 calls ``work(host, 0, 1, *args)`` alone.

        Args:
            work: a module-level function, which the other ranks import by its name.
            args: plain data.

        Raises:
            GankitError: the work failed on another rank.
        """
        return [work(self.host, 0, 1, *args)]

    def all_gather_object(self, value: T) -> list[T]:
        """A small picklable value of each rank, by rank."""
        return [value]

    def on_rank_zero(self, function: Callable[[], T]) -> T:
        """The result of ``function`` on rank 0, on all ranks. Raises: OtherProcessError: it failed on rank 0."""
        return function()

    def rank_zero_first(self, function: Callable[[], None]) -> None:
        """Call ``function`` on rank 0, then on the first rank of each other machine, then on all other ranks.

        Raises:
            OtherProcessError: it failed on another rank.
        """
        function()

    def close(self) -> None:
        """Leave the process group."""
