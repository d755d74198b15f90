"""The state of training: the networks, their optimizers and the counters of the run."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ..device.loss_scaler import LossScaler
from ..errors import CheckpointError
from ..game.players import Players
from ..interfaces import Player
from ..messages import one_line
from .ema import GeneratorEMA
from .optimizer_state import fitted_state, parameter_names

# entries of an optimizer's state that have the shape of the parameter
PARAMETER_SHAPED = frozenset({"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg", "grad_avg"})


@dataclass
class TrainState(Players):
    """Networks, optimizers and counters.

    Attributes:
        players: the network of each player, G first.
        scalers: the loss scaler of each player; by default, losses are not scaled.
        ema: the EMA of G, whose ``module`` is a generator; None without an EMA.
        components: the losses and regularizers that an optimizer trains, by name. Their ``player`` says which one.
        trained: what each player's optimizer trains, by name: its network first, under the player's name.
        step: completed steps.
        images: real images that the run has used.
        turns: turns that each player has taken; lazy regularizers count these.
        position: of the next batch in the endless data order.
        skipped: position and length of batches that are not used again, because they led to NaN or infinity.
    """

    players: Mapping[Player, nn.Module]
    optimizers: dict[Player, torch.optim.Optimizer]
    scalers: Mapping[Player, LossScaler] = field(default_factory=lambda: defaultdict(LossScaler))
    ema: GeneratorEMA | None = None
    components: Mapping[str, Any] = field(default_factory=dict)
    trained: Mapping[Player, Mapping[str, nn.Module]] = field(init=False)
    step: int = 0
    images: int = 0
    turns: dict[Player, int] = field(init=False)
    position: int = 0
    skipped: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.turns = dict.fromkeys(self.optimizers, 0)
        self.trained = {
            player: {player: network, **{name: part for name, part in self.components.items() if part.player == player}}
            for player, network in self.players.items()
        }
        # most optimizers have no state before their first step
        self._fresh = {player: copy.deepcopy(optimizer.state_dict()) for player, optimizer in self.optimizers.items()}

    @property
    def sampling_network(self) -> nn.Module:
        """The generator that samples are drawn from: the EMA's if there is one."""
        return self.generator if self.ema is None else self.ema.module

    def networks(self) -> dict[str, nn.Module]:
        """The networks by the names of their files in a checkpoint."""
        networks: dict[str, nn.Module] = dict(self.players.items())
        return networks if self.ema is None else networks | {"generator_ema": self.ema.module}

    def modules(self) -> dict[str, nn.Module]:
        """Everything that the optimizers train, by name."""
        return {name: module for modules in self.trained.values() for name, module in modules.items()}

    def _parameter_names(self) -> dict[Player, list[list[str]]]:
        """The names of the parameters that each player's optimizer trains, by group."""
        return {player: parameter_names(self.optimizers[player], modules) for player, modules in self.trained.items()}

    def skips(self, position: int, length: int) -> bool:
        """Whether the batch at this position overlaps a skipped batch."""
        return any(start < position + length and position < start + count for start, count in self.skipped)

    def state_dict(self) -> dict[str, Any]:
        """Everything except for the networks, as plain data and tensors."""
        return {
            "step": self.step,
            "images": self.images,
            "turns": dict(self.turns),
            "position": self.position,
            "skipped": list(self.skipped),
            "optimizers": {player: optimizer.state_dict() for player, optimizer in self.optimizers.items()},
            "optimizer_parameters": self._parameter_names(),
            "optimizer_classes": {player: type(optimizer).__name__ for player, optimizer in self.optimizers.items()},
            "loss_scalers": {player: scaler.state_dict() for player, scaler in self.scalers.items() if scaler.enabled},
            "ema_updates": None if self.ema is None else self.ema.updates,
            "ema_is_loaded": self.ema is not None and self.ema.is_loaded,
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Restore the result of `state_dict`. Raises: CheckpointError."""
        try:
            names, before = self._parameter_names(), saved.get("optimizer_parameters", {})
            for player, optimizer in self.optimizers.items():
                own = saved["optimizers"][player]
                state = fitted_state(own, before.get(player), self._fresh[player], names[player])
                optimizer.load_state_dict(state)  # type: ignore[arg-type]
                _require_parameter_shapes(optimizer)
            for player, scaler in self.scalers.items():
                scaler.load_state_dict(saved.get("loss_scalers", {}).get(player))
            self.step, self.images = _count(saved["step"]), _count(saved["images"])
            self.turns = {player: _count(saved["turns"][player]) for player in self.players}
            self.position = _count(saved.get("position", saved["images"]))
            self.skipped = [(_count(start), _count(count)) for start, count in saved.get("skipped", ())]
            if self.ema is not None:
                self.ema.updates = _count(saved["ema_updates"] or 0)
                self.ema.is_loaded = bool(saved.get("ema_is_loaded"))
        except Exception as error:  # the state may come from an untrusted file
            raise CheckpointError(
                f"the checkpoint's state does not fit these networks and optimizers: {one_line(error)[:400]}"
            ) from None


def _count(value: Any) -> int:
    count = int(value)
    if not 0 <= count < 2**63:
        raise ValueError(f"{count} is not a valid count")
    return count


def _require_parameter_shapes(optimizer: torch.optim.Optimizer) -> None:
    """Raises: ValueError: an entry of the optimizer's state does not have the shape of its parameter."""
    for parameter, state in optimizer.state.items():
        for name in PARAMETER_SHAPED.intersection(state):
            shape = getattr(state[name], "shape", None)
            if state[name] is not None and shape != parameter.shape:
                raise ValueError(f"'{name}' has the shape {shape} for a parameter of {list(parameter.shape)}")
