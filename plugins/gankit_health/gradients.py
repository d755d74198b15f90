"""The norms of both players' gradients, in the last few steps before somebody looks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import torch
from torch import Tensor

import gankit

from .window import fetched


class GradientNorms:
    """Sees gradients through hooks of the optimizers; computes nothing unless ``armed``.

    Of each step it takes a player's first update: in that one, the loss takes part.
    """

    def __init__(self) -> None:
        self.armed = False
        self._norms: dict[str, list[Tensor]] = {}
        self._sizes: dict[str, int] = {}
        self._seen: set[str] = set()
        self._hooks: list[Any] = []

    def attach(self, state: gankit.State) -> None:
        """Watch the optimizers of ``state``, and no others any more."""
        self.detach()
        for player, optimizer in state.optimizers.items():
            self._hooks.append(optimizer.register_step_pre_hook(self._hook(player)))

    def detach(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self.armed = False

    def next_step(self) -> None:
        """The updates that follow are another step's."""
        self._seen.clear()

    def read(self) -> dict[str, tuple[float, float]]:
        """By player, the median norm and the root mean square of its elements, since last read."""
        found: dict[str, tuple[float, float]] = {}
        for player, norms in self._norms.items():
            norm = median(fetched(norms))
            found[player] = norm, norm / math.sqrt(max(self._sizes[player], 1))
        self._norms.clear()
        return found

    def state_dict(self) -> dict[str, Any]:
        return {"norms": {player: fetched(norms) for player, norms in self._norms.items()}, "sizes": dict(self._sizes)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._norms = {player: list(map(torch.tensor, norms)) for player, norms in state["norms"].items()}
        self._sizes = dict(state["sizes"])

    def _hook(self, player: str) -> Callable[[torch.optim.Optimizer, Any, Any], None]:
        def look(optimizer: torch.optim.Optimizer, args: Any, kwargs: Mapping[str, Any]) -> None:
            if not self.armed or player in self._seen:
                return
            self._seen.add(player)
            gradients = [
                parameter.grad.detach()
                for group in optimizer.param_groups
                for parameter in group["params"]
                if parameter.grad is not None and not parameter.grad.is_sparse
            ]
            if gradients:
                self._norms.setdefault(player, []).append(torch.nn.utils.get_total_norm(gradients))
                self._sizes[player] = sum(gradient.numel() for gradient in gradients)

        return look
