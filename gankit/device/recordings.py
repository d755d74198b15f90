"""Parts of a step that run as recordings: CUDA graphs, which launch all kernels of a function at once.

A small network's kernels are shorter than the time that Python takes to launch them. A recording runs no Python code.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from ..errors import GankitError
from .seeding import random_state_of_host

T = TypeVar("T")

REMEDY = "set train.cuda_graphs: false"
WARM_UPS = 3  # so that libraries have chosen their kernels, and allocated what they keep


class Recorder(Protocol):
    """Records the kernels of functions."""

    def warm_up(self, function: Callable[[], T]) -> T:
        """Run a function as it is, before it is recorded."""

    def record(self, function: Callable[[], T]) -> tuple[T, Callable[[], None]]:
        """Record a function.

        Returns:
            What the function returns, and a function that runs its kernels. Tensors in the result have no values
            before that, and every run overwrites them.
        """


class CudaGraphs:
    """Records functions as CUDA graphs (`torch.cuda.CUDAGraph`), which share one memory pool.

    Args:
        device: a CUDA device.
        generators: generators on the device that the functions draw random numbers from, apart from its default one.
    """

    def __init__(self, device: torch.device, generators: Sequence[torch.Generator]) -> None:
        self._device, self._generators = device, generators
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def warm_up(self, function: Callable[[], T]) -> T:
        """Run a function on the stream of the recordings, which autograd's nodes of the parameters remember."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            result = function()
        current.wait_stream(self._stream)
        return result

    def record(self, function: Callable[[], T]) -> tuple[T, Callable[[], None]]:
        """Record a function as a graph. Raises: GankitError: the function waits for the device, which no graph can."""
        graph = torch.cuda.CUDAGraph()
        if torch.__version__ < "2.14":  # later versions register generators at their first use
            for generator in self._generators:
                graph.register_generator_state(generator)
        current = torch.cuda.current_stream(self._device)
        try:
            # thread_local: the threads that load data may allocate memory meanwhile
            capture = torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local")
            with torch.cuda.device(self._device), capture:
                result = function()
        except RuntimeError as error:
            torch.cuda.set_stream(current)  # a capture that fails leaves its own stream set
            if isinstance(error, torch.OutOfMemoryError):
                raise
            cause = error.__context__ if isinstance(error.__context__, RuntimeError) else error
            reason = str(cause).partition("\n")[0]
            raise GankitError(
                f"train.cuda_graphs: a turn cannot be recorded as a CUDA graph, for example because it reads a value "
                f"from the device: {reason}; {REMEDY}"
            ) from error
        return result, graph.replay


@dataclass
class _Recording:
    warm_ups: int = 0
    inputs: dict[str, Tensor] = field(default_factory=dict)
    uses: object = None
    result: Any = None
    replay: Callable[[], None] | None = None


class Recordings:
    """Runs functions as they are a few times, then records and replays them.

    A replay repeats the kernels with the inputs, random numbers and weights of its own time. Values that the function's
    Python code computes, or that it reads from attributes, are those of the recording.

    Args:
        recorder: records the functions.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._recordings: dict[Hashable, _Recording] = {}
        self._paused = False

    def run(
        self,
        key: Hashable,
        inputs: Mapping[str, Tensor],
        function: Callable[[Mapping[str, Tensor], bool], T],
        uses: object = None,
    ) -> tuple[T, bool]:
        """Run ``function(inputs, recording)``, or replay it.

        Args:
            key: of the function. Inputs of other shapes are recorded separately.
            inputs: by name.
            function: receives the inputs and whether it is being recorded.
            uses: another value that the function uses. It is recorded only with the result of an earlier recording,
                and replayed only with the same.

        Returns:
            The function's result, and whether it is that of a recording. Then it is the same object in every call, with
            tensors that the next call overwrites.

        Raises:
            GankitError: the function cannot be recorded.
        """
        shapes = tuple((name, tensor.shape, tensor.dtype) for name, tensor in inputs.items())
        recording = self._recordings.setdefault((key, shapes), _Recording())
        if self._paused or (recording.replay is not None and recording.uses is not uses):
            return function(inputs, False), False
        if recording.warm_ups < WARM_UPS or not (uses is None or self.is_result(uses)):
            recording.warm_ups += 1
            return self._recorder.warm_up(lambda: function(inputs, False)), False
        if recording.replay is None:
            recording.uses = uses
            recording.inputs = {name: tensor.detach().clone() for name, tensor in inputs.items()}
            before = random_state_of_host()
            recording.result, recording.replay = self._recorder.record(lambda: function(recording.inputs, True))
            if random_state_of_host() != before:
                raise GankitError(
                    "train.cuda_graphs: a turn draws random numbers on the CPU, which a recording would repeat; draw "
                    f"them on the device of the images, or {REMEDY}"
                )
        else:
            for name, tensor in inputs.items():
                recording.inputs[name].copy_(tensor)
        recording.replay()
        return recording.result, True

    def clear(self) -> None:
        """Forget all recordings, because what they were made from has changed."""
        self._recordings.clear()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Run functions as they are inside the block."""
        before, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = before

    def is_result(self, value: object) -> bool:
        """Whether a value is the result of a recording, which the next replay overwrites."""
        return any(own.replay is not None and own.result is value for own in self._recordings.values())
