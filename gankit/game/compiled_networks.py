"""G and D compiled by `torch.compile`, beside the networks themselves, which stay as they are.

AOTAutograd differentiates once: what is compiled has no second derivative from outside. So a gradient with respect to
images is taken inside of the compiled function, by `torch.func.grad`, and can then be differentiated like any output.

On CUDA, the compiled networks are replayed as CUDA graphs. These share one pool of memory, in which everything that a
step computes stays until the next one begins: so one pass may follow another before either's backward, as D's on reals
and fakes do. What a caller is given is a copy outside of the pool, so that it may be kept for longer.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import GankitError
from ..interfaces import DiscriminatorOutput
from ..device.engine import Engine
from .outputs import heads_of

REMEDY = "train.compile=false trains without"
Buffers = dict[str, Tensor]
COMPILERS = ("torch._dynamo", "torch._inductor", "torch._functorch")


class CompiledNetworks:
    """What a compiled step calls in place of the networks.

    Args:
        generator: G. Like D, it may be changed in place, but not be replaced.
        discriminator: D.
        engine: where the step runs; on CUDA, CUDA graphs are used.

    Attributes:
        penalties: whether gradients with respect to images are compiled too; if not, turns with penalties run eagerly.
        findings: what the run should say, and has not said yet.
    """

    def __init__(self, generator: nn.Module, discriminator: nn.Module, engine: Engine) -> None:
        self._graphs = engine.device.type == "cuda"
        # the random numbers of an eager step, if slower ones than a compiled kernel would draw by itself
        self._options: dict[str, Any] = {"triton.cudagraphs": self._graphs, "fallback_random": True}
        if engine.deterministic and "deterministic" in torch._inductor.list_options():
            self._options["deterministic"] = True  # no choice of kernels by stopwatch
        self.generator = self._compile("the generator", _forward(generator), generator)
        self.discriminator = self._compile("the discriminator", _forward(discriminator), discriminator)
        self._gradient = self._compile("", _gradient(discriminator), discriminator, fullgraph=True)
        self._discriminator = discriminator
        self.penalties = True
        self.findings: list[str] = []

    def paused(self) -> AbstractContextManager[None]:
        """Run the networks as they are for a while, for those who count what a step computes."""
        return torch.compiler.set_stance("force_eager")  # type: ignore[no-any-return]

    def memory(self) -> Buffers:
        """Copies of what D remembers from pass to pass, such as BatchNorm's statistics."""
        return {name: buffer.clone() for name, buffer in self._discriminator.named_buffers(remove_duplicate=False)}

    @torch.no_grad()
    def remember(self, memory: Buffers) -> None:
        """Let D remember no more than it did then."""
        for name, buffer in self._discriminator.named_buffers(remove_duplicate=False):
            buffer.copy_(memory[name])

    def gradient(
        self, images: Tensor, labels: Tensor | None, memory: Buffers | None, with_output: bool
    ) -> tuple[Tensor, DiscriminatorOutput] | None:
        """The gradient [n c h w] of D's summed logits with respect to ``images`` [n c h w].

        Beside it D's output for them, where it is wanted. For images that D has seen already, give the ``memory`` that
        it had before. None where D does not let itself be differentiated in one compiled piece, which is found out
        once.
        """
        if not self.penalties:
            return None
        try:
            gradient, output, later = self._gradient(images, labels, memory, with_output)
        except Exception as error:
            if not _is_the_compilers(error):
                raise
            self.penalties = False
            self.findings.append(
                f"the gradient of {type(self._discriminator).__name__} with respect to images cannot be compiled "
                f"({_reason(error)}); turns with penalties run uncompiled"
            )
            warnings.warn(self.findings[-1], stacklevel=2)
            return None
        if memory is None:
            self.remember(later)
        return gradient, output

    @contextmanager
    def step(self) -> Iterator[None]:
        """One step: of what the last one computed, only copies outlive its beginning.

        Raises:
            GankitError: a network cannot be compiled.
        """
        if self._graphs:
            torch.compiler.cudagraph_mark_step_begin()
        try:
            yield
        except RuntimeError as error:
            if _is_the_compilers(error):
                raise _refusal("the backward of a network", error) from error
            if "double backward" in str(error):
                raise GankitError(
                    "a compiled network cannot be differentiated twice: take gradients with respect to its images by "
                    f"turn.gradient; {REMEDY}"
                ) from error
            if "modified by an inplace operation" in str(error):
                raise GankitError(
                    "train.compile: the backward of a compiled network needs what its next pass has overwritten, as "
                    f"happens with spectral norm on layers of few channels; {REMEDY}"
                ) from error
            raise

    def _compile(
        self, name: str, function: Callable[..., Any], network: nn.Module, fullgraph: bool = False
    ) -> Callable[..., Any]:
        """``function`` of ``network`` compiled; with a name, a failure is told as an error of that name."""
        by_shape: dict[torch.Size, Callable[..., Any]] = {}

        def call(inputs: Tensor, *others: Any) -> Any:
            inputs = _in_one_layout(inputs)
            if inputs.shape not in by_shape:
                own = _with_code_of_its_own(function, inputs.shape)
                try:
                    by_shape[inputs.shape] = torch.compile(own, fullgraph=fullgraph, options=self._options)
                except RuntimeError as error:  # not on this version of Python, for one
                    raise _refusal("anything here", error) from error
            try:
                output = by_shape[inputs.shape](inputs, *others)
            except Exception as error:
                if not name or not _is_the_compilers(error):
                    raise
                raise _refusal(f"{name} {type(network).__name__}", error) from error
            return _copied(output) if self._graphs else output

        return call


def _forward(network: nn.Module) -> Callable[..., Any]:
    def forward(inputs: Tensor, labels: Tensor | None) -> Any:
        return network(inputs, labels)

    return forward


def _gradient(discriminator: nn.Module) -> Callable[..., Any]:
    def gradient(
        images: Tensor, labels: Tensor | None, memory: Buffers | None, with_output: bool
    ) -> tuple[Tensor, DiscriminatorOutput, Buffers]:
        buffers = dict(discriminator.named_buffers(remove_duplicate=False))

        # what `torch.func` differentiates may change no tensor but its own: so BatchNorm, for one, changes copies
        def total(seen: Tensor) -> tuple[Tensor, tuple[DiscriminatorOutput, Buffers]]:
            own = {name: buffer.clone() for name, buffer in (memory or buffers).items()}
            output = torch.func.functional_call(discriminator, own, (seen, labels), tie_weights=False)
            return torch.stack([head.sum() for head in heads_of(output)]).sum(), (output, own)

        of_images, (output, own) = torch.func.grad(total, has_aux=True)(images)
        # copied to D outside: what was copied to it in here, a backward would look for there, and find the next pass's
        return of_images, output if with_output else None, own if memory is None else {}

    return gradient


def _with_code_of_its_own(function: Callable[..., Any], shape: torch.Size) -> Callable[..., Any]:
    """The same function, for inputs of one shape.

    The compiler remembers by code and its name: how often it has compiled it, after a few of which it gives up, and
    which sizes have changed, for which it then writes slower code. One run, and one shape, shall not tell on another.
    """
    assert isinstance(function, FunctionType)
    code = function.__code__.replace(co_name="_".join(map(str, (function.__name__, *shape))))
    return FunctionType(code, function.__globals__, function.__name__, None, function.__closure__)


def _in_one_layout(inputs: Tensor) -> Tensor:
    """Images [n c h w] in one layout: code is compiled for strides as well, and those of reals and fakes differ.

    On a CPU that is channels_last. On CUDA it is torch's own, and the compiler chooses: what it expects of backwards of
    convolutions in channels_last is not what cuDNN gives where a side is 1.
    """
    if inputs.dim() != 4:
        return inputs
    if inputs.device.type == "cuda":
        return inputs.contiguous()
    pixels = inputs.permute(0, 2, 3, 1)
    return pixels.flatten().view(pixels.shape).permute(0, 3, 1, 2)  # so that sides of 1 have the usual strides too


def _copied(output: Any) -> Any:
    """The same in memory of its own, with its graph."""
    if isinstance(output, Tensor):
        return output.clone()
    if isinstance(output, Mapping):
        return {key: _copied(value) for key, value in output.items()}
    if isinstance(output, (list, tuple)):
        copies = [_copied(value) for value in output]
        return type(output)(*copies) if hasattr(output, "_fields") else type(output)(copies)
    return output


def _is_the_compilers(error: Exception) -> bool:
    return any(kind.__module__.startswith(COMPILERS) for kind in type(error).__mro__)


def _refusal(what: str, error: Exception) -> GankitError:
    return GankitError(f"train.compile: torch.compile cannot compile {what}: {_reason(error)}; {REMEDY}")


def _reason(error: Exception) -> str:
    """The first line that says something."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line and not line.endswith("raised:")), type(error).__name__).rstrip(".")
