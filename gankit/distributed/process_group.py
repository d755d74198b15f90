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
from .processes import Processes
from .rank_failures import OtherProcessError, detect_lost_ranks
from .rendezvous import rendezvous, uses_cpu
from .torchrun import require_torchrun

T = TypeVar("T")
MAX_NUMBERS = 4  # of `max_over_ranks`; fixed, since a waiting rank does not know how many rank 0 will send
TIMEOUT = timedelta(days=1)  # for downloads, evaluations and drawing on rank 0


class ProcessGroup(Processes):
    """This process in a group of several.

    Networks are not wrapped. Gradients and buffers are flattened into one tensor and averaged with one reduction.

    Args:
        device: the recipe's ``train.device``.

    Raises:
        GankitError: torchrun's environment is incomplete, or this process has no device.
    """

    def __init__(self, device: str) -> None:
        require_torchrun()
        cpu = uses_cpu(device)
        with detect_lost_ranks():
            state = PartialState(cpu=cpu, **rendezvous())
            # A separate CPU group: messages between steps must not wait for the device.
            self._cpu_group: Any = distributed.new_group(backend="gloo", timeout=TIMEOUT)
        self.rank, self.world_size = state.process_index, state.num_processes
        self.local_rank = state.local_process_index
        self.device = torch.device("cpu") if cpu else torch.device("cuda", self.local_rank)
        self._others_wait = False
        # gloo's threads abort a process that exits with an open group; on CUDA, closing could wait for dead ranks
        if cpu:
            atexit.register(self.close)

    def mean(self, value: Tensor) -> Tensor:
        with detect_lost_ranks():
            if value.requires_grad and torch.is_grad_enabled():
                return all_reduce_with_gradient(value.clone()) / self.world_size  # type: ignore[no-any-return]
            return _mean(value.detach())

    def local_rows(self, rows: Tensor) -> Tensor:
        return rows.tensor_split(self.world_size)[self.rank]

    def all_gather(self, rows: Tensor | None) -> Tensor | None:
        if rows is None:
            return None
        with detect_lost_ranks():
            return gather(rows.contiguous())  # type: ignore[no-any-return]

    @torch.no_grad()
    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        if not parameters:
            return
        present = [float(p.grad is not None) for p in parameters]
        present_here = torch.tensor(present).to(parameters[0].device, parameters[0].dtype, non_blocking=True)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        *means, present_share = _as_one_tensor(_mean, [*gradients, present_here])
        # Only a rank that lacks a gradient reads the result from the device, now and then after lazy penalties.
        wanted = [True] * len(parameters) if all(present) else (present_share > 0).tolist()
        for parameter, own, mean, want in zip(parameters, gradients, means, wanted, strict=True):
            parameter.grad = own.copy_(mean) if want else None  # copied, to keep the gradient's own memory layout

    @torch.no_grad()
    def average_buffers(self, networks: Iterable[nn.Module]) -> None:
        averaged: list[Tensor] = []
        copied: list[Tensor] = []
        for module in (module for network in networks for module in network.modules()):
            floats = [buffer for buffer in module.buffers(recurse=False) if buffer.is_floating_point()]
            (averaged if isinstance(module, _BatchNorm) else copied).extend(floats)
        _replace(averaged, _mean)
        _replace(copied, broadcast)

    @torch.no_grad()
    def broadcast_parameters(self, networks: Iterable[nn.Module]) -> None:
        tensors = [t for network in networks for t in (*network.parameters(), *network.buffers())]
        by_dtype: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors:
            by_dtype.setdefault(tensor.dtype, []).append(tensor)
        for same_dtype in by_dtype.values():
            _replace(same_dtype, broadcast)

    def convert_batchnorm(self, network: nn.Module) -> nn.Module:
        if self.device is None or self.device.type != "cuda":
            return network
        for module in network.modules():
            if isinstance(module, _BatchNorm) and not isinstance(module, nn.SyncBatchNorm):
                # torch's conversion would drop the methods of subclasses, such as a forward with labels
                kind = type(module)
                module.__class__ = type(f"Synchronized{kind.__name__}", (kind, nn.SyncBatchNorm), {})
                module.process_group = None  # type: ignore[assignment]  # all processes
        return network

    def max_over_ranks(self, *numbers: int) -> list[int]:
        while True:
            work_requested, *largest = self._reduce_max(False, *numbers)
            if not work_requested:
                return largest[: len(numbers)]
            self._run_share()

    @contextmanager
    def while_other_ranks_wait(self) -> Iterator[None]:
        before, self._others_wait = self._others_wait, self.rank == 0
        try:
            yield
        finally:
            self._others_wait = before

    def run_on_all_ranks(self, work: Callable[..., T], *args: Any) -> list[T]:
        if not self._others_wait:
            return [work(self.host, 0, 1, *args)]
        self._reduce_max(True)
        return self._run_share(work, *args)

    def all_gather_object(self, value: T) -> list[T]:
        values: list[Any] = [None] * self.world_size
        with detect_lost_ranks():
            distributed.all_gather_object(values, value, group=self._cpu_group)
        return values

    def on_rank_zero(self, function: Callable[[], T]) -> T:
        with self.while_other_ranks_wait():
            result, error = _result_or_error(function) if self.rank == 0 else (None, None)
        self.max_over_ranks()
        self._require_success(error)
        return self.all_gather_object(result)[0]  # type: ignore[return-value]

    def rank_zero_first(self, function: Callable[[], None]) -> None:
        own_round = 0 if self.rank == 0 else 1 if self.local_rank == 0 else 2
        for current_round in range(3):
            self._require_success(_result_or_error(function)[1] if own_round == current_round else None)

    def close(self) -> None:
        if distributed.is_initialized():
            PartialState().destroy_process_group()

    def _reduce_max(self, work_requested: bool, *numbers: int) -> list[int]:
        """Whether rank 0 requests work, followed by the maximum of each number."""
        values = torch.tensor([work_requested, *numbers, *[0] * (MAX_NUMBERS - len(numbers))], dtype=torch.int64)
        with detect_lost_ranks():
            distributed.all_reduce(values, distributed.ReduceOp.MAX, group=self._cpu_group)
        return values.tolist()

    def _run_share(self, *request: Any) -> list[Any]:
        """Run this rank's share of the work that rank 0 requested; return all results on rank 0."""
        message = [request]
        with detect_lost_ranks():
            distributed.broadcast_object_list(message, src=0, group=self._cpu_group)
        work, *args = message[0]
        result, error = _result_or_error(lambda: work(self.host, self.rank, self.world_size, *args))
        outcomes: list[Any] | None = [None] * self.world_size if self.rank == 0 else None
        with detect_lost_ranks():
            distributed.gather_object((result, _description(error)), outcomes, dst=0, group=self._cpu_group)
        if outcomes is None:
            return []
        _raise_first(error, [failure for _, failure in outcomes], GankitError)
        return [result for result, _ in outcomes]

    def _require_success(self, error: Exception | None) -> None:
        """Raises: this rank's own error, or OtherProcessError if another rank has one."""
        _raise_first(error, self.all_gather_object(_description(error)), OtherProcessError)


def _result_or_error(function: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return function(), None
    except Exception as error:
        return None, error


def _description(error: Exception | None) -> str | None:
    return None if error is None else f"{type(error).__name__}: {error}"


def _raise_first(own: Exception | None, failures: list[str | None], kind: type[GankitError]) -> None:
    """Raise this rank's own error, or an error of this kind for the first failure of another rank."""
    if own is not None:
        raise own
    for rank, failure in enumerate(failures):
        if failure is not None:
            raise kind(f"process {rank} failed: {failure}")


def _mean(tensor: Tensor) -> Tensor:
    return reduce(tensor, "mean")  # type: ignore[no-any-return]


def _as_one_tensor(operation: Callable[[Tensor], Tensor], tensors: Sequence[Tensor]) -> list[Tensor]:
    """The results of an operation of all ranks on several tensors, which is called once on their concatenation."""
    whole = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
    with detect_lost_ranks():
        flat = operation(whole)
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def _replace(tensors: Sequence[Tensor], operation: Callable[[Tensor], Tensor]) -> None:
    """Replace the values of tensors by the results of an operation of all ranks."""
    if tensors:
        for tensor, value in zip(tensors, _as_one_tensor(operation, tensors), strict=True):
            tensor.copy_(value)
