"""Locate the layer that a NaN or infinity comes from: every layer's output and gradient is checked during a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor, nn

from ..distributed.processes import Processes
from ..game.step_context import StepContext
from ..interfaces import Scalars, State
from ..networks.nested_tensors import tensors_in


@dataclass(frozen=True)
class NonFiniteValue:
    """The first tensor with NaN or infinity.

    Attributes:
        network: ``generator``, ``discriminator``, or the name of a trained loss or regularizer; empty for a scalar of
            the step.
        layer: the layer's dotted name and its class, or the name of a parameter or scalar.
        what: ``output``, ``gradient of the output``, ``gradient``, ``weight`` or ``scalar``.
        bad: the number of values that are NaN or infinite.
        count: the number of all values.
    """

    network: str
    layer: str
    what: str
    bad: int
    count: int

    def __str__(self) -> str:
        where = f"{self.network} {self.layer}" if self.network else self.layer
        return f"the {self.what} of {where}: {self.bad:,} of {self.count:,} values NaN or infinite"


class NonFiniteFoundError(Exception):
    """Ends a step in which a value is NaN or infinite."""

    def __init__(self, value: NonFiniteValue) -> None:
        super().__init__(str(value))
        self.value = value


@contextmanager
def checking_every_layer(
    context: StepContext, state: State, overflows: bool = False
) -> Iterator[Callable[[Scalars], None]]:
    """Check every layer inside the block, which is slow. All turns run eagerly in the meantime.

    With several processes, all of them stop at the next point that every process reaches.

    Args:
        context: of the run.
        state: of the run.
        overflows: whether infinite gradients count in fp16, where they only make the loss scaler skip an update.

    Yields:
        A function that checks the scalars of a step.

    Raises:
        NonFiniteFoundError: from the step, at the first value that is NaN or infinite.
    """
    scales = any(scaler.enabled for scaler in state.scalers.values())
    check = LayerCheck(context.processes, gradients=overflows or not scales)
    with ExitStack() as stack:
        stack.enter_context(context.eager())
        for player, modules in state.trained.items():
            optimizer = state.optimizers[player]
            for name, module in modules.items():
                check.weights(name, module)
                for path, part in module.named_modules():
                    layer = f"{path} ({type(part).__name__})" if path else type(part).__name__
                    stack.callback(part.register_forward_hook(partial(check.output, name, layer)).remove)
                stack.callback(optimizer.register_step_pre_hook(partial(check.gradients, name, module)).remove)
                stack.callback(optimizer.register_step_post_hook(partial(check.weights, name, module)).remove)
        yield check.scalars


class LayerCheck:
    """Records the first value that is NaN or infinite.

    A single process raises at once. Several processes continue to the next point that all of them reach, because the
    others would wait for a process that leaves in the middle of a step. They raise for the value that was found after
    the fewest checks.

    Args:
        processes: that check together.
        gradients: whether gradients are checked.
    """

    def __init__(self, processes: Processes, gradients: bool = True) -> None:
        self._processes, self._gradients = processes, gradients
        self._checks = 0
        self._found: tuple[int, NonFiniteValue] | None = None

    def tensor(self, tensor: Tensor, network: str, layer: str, what: str) -> None:
        """Check a tensor, at any point of a step."""
        self._checks += 1
        if self._found is not None:
            return
        bad = int((~tensor.detach().isfinite()).sum())
        if bad:
            self._found = self._checks, NonFiniteValue(network, layer, what, bad, tensor.numel())
            if self._processes.world_size == 1:
                self._raise_if_found()

    def output(self, network: str, layer: str, module: nn.Module, inputs: Any, output: Any) -> None:
        """Check the output of a layer now, and the gradient of the output in the backward: a forward hook."""
        for tensor in filter(torch.is_floating_point, tensors_in(output)):
            self.tensor(tensor, network, layer, "output")
            if tensor.requires_grad and self._gradients:
                tensor.register_hook(lambda gradient: self.tensor(gradient, network, layer, "gradient of the output"))

    def gradients(self, network: str, module: nn.Module, *hook_arguments: Any) -> None:
        """Check the gradients of a module's parameters; every process must call it."""
        self._raise_if_found()  # a value found on one rank before gradients were averaged is closer to the cause
        for name, parameter in module.named_parameters() if self._gradients else ():
            if parameter.grad is not None:
                self.tensor(parameter.grad, network, name, "gradient")
        self._raise_if_found()

    def weights(self, network: str, module: nn.Module, *hook_arguments: Any) -> None:
        """Check all parameters of a module; every process must call it."""
        for name, parameter in module.named_parameters():
            self.tensor(parameter, network, name, "weight")
        self._raise_if_found()

    def scalars(self, scalars: Scalars) -> None:
        """Check the scalars of a step; every process must call it."""
        for name, value in scalars.items():
            self.tensor(value, "", name, "scalar")
        self._raise_if_found()

    def _raise_if_found(self) -> None:
        """Raises: NonFiniteFoundError: any process has found a value."""
        found = [own for own in self._processes.all_gather_object(self._found) if own is not None]
        if found:
            raise NonFiniteFoundError(min(found, key=itemgetter(0))[1])
