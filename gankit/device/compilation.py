"""`torch.compile` for functions of a network, once per input shape, with errors in one sentence.

On CUDA, compiled functions run as CUDA graphs. All graphs share one memory pool, whose contents stay valid until the
next step begins, so that D may run on reals and on fakes before either backward. Results are copied out of the pool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from ..errors import GankitError
from ..networks.nested_tensors import map_tensors
from .compute_mode import FASTEST, ComputeMode
from .engine import Engine

REMEDY = "set train.compile=false to train without it"
COMPILERS = ("torch._dynamo", "torch._inductor", "torch._functorch")


class Compiler:
    """Compiles functions for one engine; ``mode`` is that of the network that takes images."""

    def __init__(self, engine: Engine, mode: ComputeMode = FASTEST) -> None:
        self._mode = mode
        self._uses_cuda_graphs = engine.device.type == "cuda"
        # fallback_random: draw the random numbers of an eager step, at the cost of slower kernels
        self._options: dict[str, Any] = {"triton.cudagraphs": self._uses_cuda_graphs, "fallback_random": True}
        if engine.deterministic and "deterministic" in torch._inductor.list_options():
            self._options["deterministic"] = True  # do not choose kernels by timing them

    def compile(self, function: Callable[..., Any], name: str = "", fullgraph: bool = False) -> Callable[..., Any]:
        """A compiled ``function(inputs, *others)``, specialized for each shape of ``inputs``.

        Args:
            function: a Python function.
            name: the network, for the error message; without a name, errors of the compiler are raised as they are.
            fullgraph: refuse graph breaks.
        """
        by_shape: dict[torch.Size, Callable[..., Any]] = {}

        def call(inputs: Tensor, *others: Any) -> Any:
            inputs = _in_standard_layout(inputs, self._mode)
            if inputs.shape not in by_shape:
                own = _with_own_code(function, inputs.shape)
                try:
                    by_shape[inputs.shape] = torch.compile(own, fullgraph=fullgraph, options=self._options)
                except RuntimeError as error:  # for example, an unsupported version of Python
                    raise _compile_error("anything here", error) from error
            try:
                output = by_shape[inputs.shape](inputs, *others)
            except Exception as error:
                if not name or not is_compiler_error(error):
                    raise
                raise _compile_error(name, error) from error
            return map_tensors(output, torch.Tensor.clone) if self._uses_cuda_graphs else output

        return call

    @contextmanager
    def step(self) -> Iterator[None]:
        """One training step. Results of earlier steps must have been copied. Raises: GankitError: compiling failed."""
        if self._uses_cuda_graphs:
            torch.compiler.cudagraph_mark_step_begin()
        try:
            yield
        except RuntimeError as error:
            if is_compiler_error(error):
                raise _compile_error("the backward of a network", error) from error
            if "double backward" in str(error):
                raise GankitError(
                    "a compiled network cannot be differentiated twice: take gradients with respect to its images by "
                    f"turn.gradient; {REMEDY}"
                ) from error
            if "modified by an inplace operation" in str(error):
                raise GankitError(
                    "train.compile: the backward of a compiled network needs a buffer that its next forward has "
                    f"overwritten, as spectral norm on layers of few channels does; {REMEDY}"
                ) from error
            raise


def is_compiler_error(error: Exception) -> bool:
    """Whether the compiler raised it, not the function that is compiled."""
    return any(kind.__module__.startswith(COMPILERS) for kind in type(error).__mro__)


def first_reason(error: Exception) -> str:
    """The first informative line of a compiler's error."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line and not line.endswith("raised:")), type(error).__name__).rstrip(".")


def _compile_error(what: str, error: Exception) -> GankitError:
    return GankitError(f"train.compile: torch.compile cannot compile {what}: {first_reason(error)}; {REMEDY}")


def _with_own_code(function: Callable[..., Any], shape: torch.Size) -> Callable[..., Any]:
    """A copy of the function with a code object of its own, named after the shape.

    The compiler counts recompilations per code object and gives up after a few. It also generates slower code once a
    size has changed. A code object per shape keeps runs and shapes independent of each other.
    """
    assert isinstance(function, FunctionType)
    code = function.__code__.replace(co_name="_".join(map(str, (function.__name__, *shape))))
    return FunctionType(code, function.__globals__, function.__name__, None, function.__closure__)


def _in_standard_layout(inputs: Tensor, mode: ComputeMode) -> Tensor:
    """Images [n c h w] in one layout, since code is compiled for strides and those of reals and fakes differ.

    The layout is channels_last on a CPU, unless the network needs another. On CUDA it is torch's default: inductor's
    expected strides for the backward of channels_last convolutions differ from cuDNN's where a side is 1.
    """
    if inputs.dim() != 4:
        return inputs
    if inputs.device.type == "cuda" or mode.memory_format is not None:
        return inputs.contiguous()
    pixels = inputs.permute(0, 2, 3, 1)
    return pixels.flatten().view(pixels.shape).permute(0, 3, 1, 2)  # gives sides of 1 the usual strides as well
