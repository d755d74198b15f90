"""Several processes that train one run: Hugging Face Accelerate over `torch.distributed`, started by torchrun."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast, gather, reduce
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce as all_reduce_with_gradient
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import GankitError
from .rendezvous import rendezvous, on_cpu, require_torchrun
from .rank_failures import detect_lost_ranks
from .rank_failures import OtherProcessError
from .processes import Processes

T = TypeVar("T")
MOST_NUMBERS = 4  # that `largest` takes: who waits does not know how many the first process gives
PATIENCE = timedelta(days=1)  # for the first process to download, to evaluate, to draw


class ProcessGroup(Processes):
    """This process among several.

    The networks are never wrapped: what differs between processes is averaged here, flattened into one tensor.

    Args:
        device: the recipe's ``train.device``.

    Raises:
        GankitError: the environment is not torchrun's, or this process has no device.
    """

    def __init__(self, device: str) -> None:
        require_torchrun()
        cpu = on_cpu(device)
        with detect_lost_ranks():
            state = PartialState(cpu=cpu, **rendezvous())
            # of its own, on the CPU: what processes tell each other between steps waits for no device
            self._hosts: Any = distributed.new_group(backend="gloo", timeout=PATIENCE)
        self.rank, self.world_size = state.process_index, state.num_processes
        self.local_rank = state.local_process_index
        self.device = torch.device("cpu") if cpu else torch.device("cuda", self.local_rank)
        self._others_wait = False
        if cpu:  # gloo's threads abort a process that ends beside them; on CUDA this could wait for processes long gone
            atexit.register(self.close)

    def mean(self, value: Tensor) -> Tensor:
        with detect_lost_ranks():
            if value.requires_grad and torch.is_grad_enabled():
                return all_reduce_with_gradient(value.clone()) / self.world_size  # type: ignore[no-any-return]
            return reduce(value.detach(), "mean")  # type: ignore[no-any-return]

    def share(self, whole: Tensor) -> Tensor:
        return whole.tensor_split(self.world_size)[self.rank]

    def whole(self, share: Tensor | None) -> Tensor | None:
        if share is None:
            return None
        with detect_lost_ranks():
            return gather(share.contiguous())  # type: ignore[no-any-return]

    @torch.no_grad()
    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        if not parameters:
            return
        present = [float(p.grad is not None) for p in parameters]
        there = torch.tensor(present).to(parameters[0].device, parameters[0].dtype, non_blocking=True)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        *means, anywhere = self._means([*gradients, there])
        # only who lacks one has to ask the device whether others have it: after lazy penalties, now and then
        wanted = [True] * len(parameters) if all(present) else (anywhere > 0).tolist()
        for parameter, own, mean, want in zip(parameters, gradients, means, wanted, strict=True):
            parameter.grad = own.copy_(mean) if want else None  # copied, for the layout of its own

    @torch.no_grad()
    def align(self, networks: Iterable[nn.Module]) -> None:
        averaged: list[Tensor] = []
        copied: list[Tensor] = []
        for module in (module for network in networks for module in network.modules()):
            floats = [buffer for buffer in module.buffers(recurse=False) if buffer.is_floating_point()]
            (averaged if isinstance(module, _BatchNorm) else copied).extend(floats)
        if averaged:
            _assign(averaged, self._means(averaged))
        if copied:
            _assign(copied, self._of_the_first(copied))

    @torch.no_grad()
    def broadcast_parameters(self, networks: Iterable[nn.Module]) -> None:
        tensors = [t for network in networks for t in (*network.parameters(), *network.buffers())]
        by_dtype: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors:
            by_dtype.setdefault(tensor.dtype, []).append(tensor)
        for alike in by_dtype.values():
            _assign(alike, self._of_the_first(alike))

    def synchronized(self, network: nn.Module) -> nn.Module:
        if self.device is None or self.device.type != "cuda":
            return network
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-any-return]

    def largest(self, *numbers: int) -> list[int]:
        while True:
            asked, *largest = self._largest(False, *numbers)
            if not asked:
                return largest[: len(numbers)]
            self._do_part()

    @contextmanager
    def while_other_ranks_wait(self) -> Iterator[None]:
        before, self._others_wait = self._others_wait, self.rank == 0
        try:
            yield
        finally:
            self._others_wait = before

    def everywhere(self, work: Callable[..., T], *words: Any) -> list[T]:
        if not self._others_wait:
            return [work(self.host, 0, 1, *words)]
        self._largest(True)
        return self._do_part(work, *words)

    def all_gather_object(self, value: T) -> list[T]:
        values: list[Any] = [None] * self.world_size
        with detect_lost_ranks():
            distributed.all_gather_object(values, value, group=self._hosts)
        return values

    def first(self, function: Callable[[], T]) -> T:
        result: T | None = None
        error: Exception | None = None
        if self.rank == 0:
            try:
                with self.while_other_ranks_wait():
                    result = function()
            except Exception as raised:
                error = raised
        self.largest()
        self._all_well(error)
        return self.all_gather_object(result)[0]  # type: ignore[return-value]

    def rank_zero_first(self, function: Callable[[], None]) -> None:
        own = 0 if self.rank == 0 else 1 if self.local_rank == 0 else 2
        for turn in range(3):
            error: Exception | None = None
            if own == turn:
                try:
                    function()
                except Exception as raised:
                    error = raised
            self._all_well(error)

    def close(self) -> None:
        if distributed.is_initialized():
            PartialState().destroy_process_group()

    def _largest(self, asked: bool, *numbers: int) -> list[int]:
        """Whether the first process asks for help, and the numbers."""
        values = torch.tensor([asked, *numbers, *[0] * (MOST_NUMBERS - len(numbers))], dtype=torch.int64)
        with detect_lost_ranks():
            distributed.all_reduce(values, distributed.ReduceOp.MAX, group=self._hosts)
        return values.tolist()

    def _do_part(self, *asked: Any) -> list[Any]:
        """This process's part of what the first one has asked for; there, everyone's."""
        task = [asked]
        with detect_lost_ranks():
            distributed.broadcast_object_list(task, src=0, group=self._hosts)
        work, *words = task[0]
        result: Any = None
        error: Exception | None = None
        try:
            result = work(self.host, self.rank, self.world_size, *words)
        except Exception as raised:
            error = raised
        done: list[Any] | None = [None] * self.world_size if self.rank == 0 else None
        with detect_lost_ranks():
            distributed.gather_object((result, _said(error)), done, dst=0, group=self._hosts)
        if done is None:
            return []
        if error is not None:
            raise error
        for rank, (_, failure) in enumerate(done):
            if failure is not None:
                raise GankitError(f"process {rank} failed: {failure}")
        return [result for result, _ in done]

    def _all_well(self, error: Exception | None) -> None:
        """Raises: this process's own error, or OtherProcessError where another has one."""
        said = self.all_gather_object(_said(error))
        if error is not None:
            raise error
        for rank, failure in enumerate(said):
            if failure is not None:
                raise OtherProcessError(f"process {rank} failed: {failure}")

    def _means(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        with detect_lost_ranks():
            return _unflattened(reduce(_flattened(tensors), "mean"), tensors)

    def _of_the_first(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        with detect_lost_ranks():
            return _unflattened(broadcast(_flattened(tensors)), tensors)


def _said(error: Exception | None) -> str | None:
    return None if error is None else f"{type(error).__name__}: {error}"


def _flattened(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


def _unflattened(flat: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def _assign(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)
