"""G, D and D's input gradient, compiled by `torch.compile`. The networks themselves are not modified.

AOTAutograd supports a single derivative: a compiled function cannot be differentiated twice. Gradients with respect to
images are therefore computed inside the compiled function, by `torch.func.grad`, and differentiated once outside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..device.compilation import Compiler, first_reason, is_compiler_error
from ..device.compute_mode import FASTEST, ComputeMode
from ..device.engine import Engine
from ..interfaces import DiscriminatorOutput
from .outputs import total_of_logits

Buffers = dict[str, Tensor]


class CompiledNetworks:
    """Compiled versions of the networks of a step.

    Args:
        generator: G. Its parameters may change, but it must not be replaced; the same holds for D.
        discriminator: D; None in a game of one player.
        engine: of the run; on CUDA, compiled functions run as CUDA graphs.
        mode: how D computes.

    Attributes:
        supports_penalties: whether gradients with respect to images can be compiled. If not, turns with penalties run
            eagerly.
        warnings: sentences for the run's log that have not been logged yet.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module | None, engine: Engine, mode: ComputeMode = FASTEST
    ) -> None:
        compiler = Compiler(engine, mode)
        self.step = compiler.step
        self.generator = compiler.compile(_forward(generator), f"the generator {type(generator).__name__}")
        self.supports_penalties = True
        self.warnings: list[str] = []
        if discriminator is not None:
            name = f"the discriminator {type(discriminator).__name__}"
            self.discriminator = compiler.compile(_forward(discriminator), name)
            self._gradient = compiler.compile(_gradient(discriminator), fullgraph=True)
            self._discriminator = discriminator

    def copy_buffers(self) -> Buffers:
        """Copies of D's buffers, such as BatchNorm's statistics."""
        return {name: buffer.clone() for name, buffer in self._discriminator.named_buffers(remove_duplicate=False)}

    @torch.no_grad()
    def restore_buffers(self, buffers: Buffers) -> None:
        """Copy ``buffers`` back into D."""
        for name, buffer in self._discriminator.named_buffers(remove_duplicate=False):
            buffer.copy_(buffers[name])

    def gradient(
        self, arguments: Sequence[Any], buffers: Buffers | None, with_output: bool
    ) -> tuple[Tensor, DiscriminatorOutput] | None:
        """The gradient [n c h w] of D's summed logits with respect to its images, and D's output for them.

        Args:
            arguments: of D: the images [n c h w] first.
            buffers: D's buffers before it saw these images, if it has seen them already in this turn.
            with_output: whether the output is needed; it is None otherwise.

        Returns:
            None if the gradient of D cannot be compiled in one graph, which the first call detects.
        """
        if not self.supports_penalties:
            return None
        try:
            gradient, output, updated = self._gradient(arguments[0], arguments[1:], buffers, with_output)
        except Exception as error:
            if not is_compiler_error(error):
                raise
            self.supports_penalties = False
            self.warnings.append(
                f"the gradient of {type(self._discriminator).__name__} with respect to images cannot be compiled "
                f"({first_reason(error)}); turns with penalties run uncompiled"
            )
            return None
        if buffers is None:
            self.restore_buffers(updated)
        return gradient, output


def _forward(network: nn.Module) -> Callable[..., Any]:
    def forward(inputs: Tensor, *others: Any) -> Any:
        return network(inputs, *others)

    return forward


def _gradient(discriminator: nn.Module) -> Callable[..., Any]:
    def gradient(
        images: Tensor, others: Sequence[Any], before: Buffers | None, with_output: bool
    ) -> tuple[Tensor, DiscriminatorOutput, Buffers]:
        current = dict(discriminator.named_buffers(remove_duplicate=False))

        # `torch.func` cannot differentiate a function that mutates outside tensors, so BatchNorm updates copies.
        def total(seen: Tensor) -> tuple[Tensor, tuple[DiscriminatorOutput, Buffers]]:
            own = {name: buffer.clone() for name, buffer in (before or current).items()}
            output = torch.func.functional_call(discriminator, own, (seen, *others), tie_weights=False)
            return total_of_logits(output), (output, own)

        of_images, (output, own) = torch.func.grad(total, has_aux=True)(images)
        # The caller copies the buffers to D: backward would need a copy made here, and the next call overwrites it.
        return of_images, output if with_output else None, own if before is None else {}

    return gradient
