"""Steps under the magnifying glass: every layer's output and gradient looked at, whatever it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor, nn

from ..interfaces import Scalars
from ..game.game import Game
from ..distributed.processes import Processes
from ..training.train_state import TrainState


@dataclass(frozen=True)
class NonFiniteValue:
    """Where a value was not finite first.

    Attributes:
        network: ``generator`` or ``discriminator``; empty for a figure.
        layer: its dotted name there, with its kind; the name of a parameter, or of a figure.
        what: ``output``, ``gradient of the output``, ``gradient``, ``weight`` or ``figure``.
        bad: how many values were NaN or infinite.
        count: of how many.
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
    """Ends a step at the first such value."""

    def __init__(self, spot: NonFiniteValue) -> None:
        super().__init__(str(spot))
        self.spot = spot


@contextmanager
def probe_layers(game: Game, state: TrainState) -> Iterator[Callable[[Scalars], None]]:
    """Within, a step ends with `FoundError` where a value is not finite; what is given looks at a step's figures.

    Of several processes all end, at the next place where all come by. Compiled networks run as they are meanwhile.
    Raises: FoundError.
    """
    networks: dict[str, nn.Module] = {"generator": state.generator, "discriminator": state.discriminator}
    glass = LayerProbe(game.engine.processes)
    with ExitStack() as stack:
        if game.compiled is not None:
            stack.enter_context(game.compiled.paused())
        for side, network in networks.items():
            glass.weights(side, network)
            for name, module in network.named_modules():
                layer = f"{name} ({type(module).__name__})" if name else type(module).__name__
                stack.enter_context(_removed(module.register_forward_hook(_look_at_output(glass, side, layer))))
        for side, optimizer in state.optimizers.items():
            network = networks[side]
            before = optimizer.register_step_pre_hook(_look(glass.gradients, side, network))
            after = optimizer.register_step_post_hook(_look(glass.weights, side, network))
            stack.enter_context(_removed(before))
            stack.enter_context(_removed(after))
        yield glass.figures


class LayerProbe:
    """What is seen through the glass: values that are not finite.

    One process alone ends where it finds one. Several go on until all come by: who left them alone in the midst of a
    step would be waited for. What any of them has found first, counted in looks, is what they end with.
    """

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._looks = 0
        self._found: tuple[int, NonFiniteValue] | None = None

    def see(self, tensor: Tensor, side: str, layer: str, what: str) -> None:
        """Anywhere in a step."""
        self._looks += 1
        if self._found is not None:
            return
        bad = int((~tensor.detach().isfinite()).sum())
        if bad:
            self._found = self._looks, NonFiniteValue(side, layer, what, bad, tensor.numel())
            if self._processes.world_size == 1:
                self._meet()

    def gradients(self, side: str, network: nn.Module) -> None:
        """Where all processes come by."""
        self._meet()  # what one has found in its share before gradients were averaged says more than these
        for name, parameter in network.named_parameters():
            if parameter.grad is not None:
                self.see(parameter.grad, side, name, "gradient")
        self._meet()

    def weights(self, side: str, network: nn.Module) -> None:
        """Where all processes come by."""
        for name, parameter in network.named_parameters():
            self.see(parameter, side, name, "weight")
        self._meet()

    def figures(self, scalars: Scalars) -> None:
        """Where all processes come by."""
        for name, value in scalars.items():
            self.see(value, "", name, "figure")
        self._meet()

    def _meet(self) -> None:
        """Raises: FoundError: any process has found something."""
        found = [own for own in self._processes.all_gather_object(self._found) if own is not None]
        if found:
            raise NonFiniteFoundError(min(found, key=itemgetter(0))[1])


@contextmanager
def _removed(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()


def _look_at_output(glass: LayerProbe, side: str, layer: str) -> Callable[[nn.Module, Any, Any], None]:
    def look(module: nn.Module, inputs: Any, output: Any) -> None:
        for tensor in _tensors(output):
            glass.see(tensor, side, layer, "output")
            if tensor.requires_grad:
                tensor.register_hook(lambda gradient: glass.see(gradient, side, layer, "gradient of the output"))

    return look


def _look(see: Callable[[str, nn.Module], None], side: str, network: nn.Module) -> Callable[..., None]:
    return lambda *given: see(side, network)


def _tensors(output: Any) -> Iterator[Tensor]:
    """The floating tensors of an output, however it holds them."""
    if isinstance(output, Tensor):
        if torch.is_floating_point(output):
            yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, (list, tuple)):
        for value in output:
            yield from _tensors(value)
