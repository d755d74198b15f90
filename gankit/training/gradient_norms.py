"""Gradient norms of the players, measured in chosen steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import torch
from torch import Tensor

from ..interfaces import State
from .scalars_to_floats import scalars_to_floats


class GradientNorms:
    """Measures gradients in pre-step hooks of the optimizers while ``enabled``, after clipping.

    Only a player's first update in a step counts, since that update includes the loss; lazy penalties have updates of
    their own.

    Attributes:
        enabled: whether to measure; measuring does not wait for the device.
    """

    def __init__(self) -> None:
        self.enabled = False
        self._norms: dict[str, list[Tensor]] = {}
        self._sizes: dict[str, int] = {}
        self._measured: set[str] = set()
        self._hooks: list[Any] = []

    def attach(self, state: State) -> None:
        """Add hooks to the optimizers of ``state``; earlier hooks are removed."""
        self.detach()
        self._measured.clear()  # by steps that a return to a checkpoint has undone
        for player, optimizer in state.optimizers.items():
            self._hooks.append(optimizer.register_step_pre_hook(self._hook(player)))

    def detach(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self.enabled = False

    def discard(self) -> None:
        """Forget the norms since the last call of `read`."""
        self._norms.clear()

    def next_step(self) -> None:
        """Start the next step, in which the first update of each player is measured again."""
        self._measured.clear()

    def read(self) -> dict[str, tuple[float, float]]:
        """The median norm since the last call, and the root mean square of its gradient's elements, by player."""
        found: dict[str, tuple[float, float]] = {}
        for player, norms in self._norms.items():
            norm = median(_to_floats(norms))
            found[player] = norm, norm / math.sqrt(max(self._sizes[player], 1))
        self._norms.clear()
        return found

    def state_dict(self) -> dict[str, Any]:
        norms = {player: _to_floats(norms) for player, norms in self._norms.items()}
        return {"norms": norms, "sizes": dict(self._sizes)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._norms = {
            player: [torch.tensor(norm, dtype=torch.float64) for norm in norms]
            for player, norms in state["norms"].items()
        }
        self._sizes = dict(state["sizes"])

    def _hook(self, player: str) -> Callable[[torch.optim.Optimizer, Any, Any], None]:
        def measure(optimizer: torch.optim.Optimizer, args: Any, kwargs: Mapping[str, Any]) -> None:
            if not self.enabled or player in self._measured:
                return
            self._measured.add(player)
            gradients = [
                parameter.grad.detach()
                for group in optimizer.param_groups
                for parameter in group["params"]
                if parameter.grad is not None and not parameter.grad.is_sparse
            ]
            if gradients:
                self._norms.setdefault(player, []).append(torch.nn.utils.get_total_norm(gradients))
                self._sizes[player] = sum(gradient.numel() for gradient in gradients)

        return measure


def _to_floats(norms: Sequence[Tensor]) -> list[float]:
    """The norms of one player, with one transfer per device: those of a checkpoint are on the CPU."""
    return [*scalars_to_floats({str(index): norm for index, norm in enumerate(norms)}).values()]
