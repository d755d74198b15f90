"""Where training stands: the networks, their optimizers, and how far it has come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ..errors import CheckpointError
from .ema import GeneratorEMA
from ..interfaces import Player

SHAPED = frozenset({"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg", "grad_avg"})
PLAYERS: tuple[Player, ...] = ("discriminator", "generator")


@dataclass
class TrainState:
    """Networks, optimizers and counters.

    Attributes:
        ema: the average of G, whose ``module`` is a generator; None without one.
        step: updates of G.
        images: real images shown to D.
        turns: turns that each player has taken; lazy regularizers count these.
        position: in the data's endless order, of the next batch.
        skipped: position and length of batches that are not to be used, since they broke the run.
    """

    generator: nn.Module
    discriminator: nn.Module
    optimizers: dict[Player, torch.optim.Optimizer]
    ema: GeneratorEMA | None = None
    step: int = 0
    images: int = 0
    turns: dict[Player, int] = field(default_factory=lambda: dict.fromkeys(PLAYERS, 0))
    position: int = 0
    skipped: list[tuple[int, int]] = field(default_factory=list)

    @property
    def sampler(self) -> nn.Module:
        """The generator that samples come from: the EMA's where there is one."""
        return self.generator if self.ema is None else self.ema.module

    def networks(self) -> dict[str, nn.Module]:
        """The networks by the names of their files in a checkpoint."""
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        return networks if self.ema is None else networks | {"generator_ema": self.ema.module}

    def skips(self, position: int, length: int) -> bool:
        """Whether images of this batch are not to be used."""
        return any(start < position + length and position < start + count for start, count in self.skipped)

    def counters(self) -> dict[str, Any]:
        """All but the networks, as plain data and tensors."""
        return {
            "step": self.step,
            "images": self.images,
            "turns": dict(self.turns),
            "position": self.position,
            "skipped": list(self.skipped),
            "optimizers": {player: optimizer.state_dict() for player, optimizer in self.optimizers.items()},
            "ema_updates": None if self.ema is None else int(self.ema.n_averaged),
        }

    def load_counters(self, saved: Mapping[str, Any]) -> None:
        """Take up what `counters` gave. Raises: CheckpointError."""
        try:
            for player, optimizer in self.optimizers.items():
                optimizer.load_state_dict(saved["optimizers"][player])
                _require_shapes(optimizer)
            self.step, self.images = _count(saved["step"]), _count(saved["images"])
            self.turns = {player: _count(saved["turns"][player]) for player in PLAYERS}
            self.position = _count(saved.get("position", saved["images"]))
            self.skipped = [(_count(start), _count(count)) for start, count in saved.get("skipped", ())]
            if self.ema is not None:
                self.ema.n_averaged.fill_(_count(saved["ema_updates"] or 0))
        except Exception as error:  # the state is a stranger's data
            reason = " ".join(str(error).split()) or type(error).__name__
            raise CheckpointError(
                f"the checkpoint's state does not fit these networks and optimizers: {reason[:400]}"
            ) from None


def _count(value: Any) -> int:
    count = int(value)
    if not 0 <= count < 2**63:
        raise ValueError(f"{count} is no count of anything")
    return count


def _require_shapes(optimizer: torch.optim.Optimizer) -> None:
    """Raises: ValueError: what torch's optimizers keep in the shape of the parameter has another."""
    for parameter, state in optimizer.state.items():
        for name in SHAPED.intersection(state):
            shape = getattr(state[name], "shape", None)
            if state[name] is not None and shape != parameter.shape:
                raise ValueError(f"'{name}' has the shape {shape} for a parameter of {list(parameter.shape)}")
