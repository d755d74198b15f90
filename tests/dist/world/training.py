"""Losses, regularizers and a game whose values depend on all processes, or differ between them."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

import gankit

from .processes import rank


class OwnDirection:
    """A penalty in which some parameters take part in one process only: first D's bias, and nothing of its rest."""

    interval = 1

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        named = dict(turn.discriminator.named_parameters())
        chosen = named["layers.0.bias"] if rank() == 0 else named["layers.2.bias"]
        return chosen.square().sum() + chosen.sum()


class Alone(OwnDirection):
    """The same in a turn of its own."""

    interval = 2


class Overflowing:
    """A gradient that is infinite in the second process alone, in the first step."""

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        value = 1e-3 * next(turn.discriminator.parameters()).sum()
        if turn.images_seen == 0 and rank() == 1:
            value.register_hook(lambda gradient: gradient * torch.inf)
        return value * 1


class LogitsMean:
    """A loss with the mean over all reals in it, as relativistic average ones have."""

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        centre = turn.mean(turn.real_logits.mean())
        return (turn.fake_logits - centre).square().mean() - centre.square()

    def generator(self, turn: gankit.Turn) -> Tensor:
        return -turn.fake_logits.mean()


class Normalised(nn.Module):
    """A regularizer with a trained layer, which begins otherwise in each process, and with BatchNorm."""

    player = "generator"

    def __init__(self) -> None:
        super().__init__()
        self.projection, self.norm = nn.Linear(4, 3), nn.BatchNorm1d(3)
        nn.init.constant_(self.projection.weight, 1.0 + rank())

    def generator(self, turn: gankit.Turn) -> Tensor:
        return self.norm(self.projection(turn.fake.flatten(1)[:, :4])).square().mean() + self.projection.bias.sum()


class Queue(gankit.Game):
    """G's fakes keep away from the last means of D's fakes, which every process keeps in the same order."""

    def __init__(self, *, size: PositiveInt = 12) -> None:
        self.size, self.rows = size, torch.zeros(0, 8, dtype=torch.float64)

    def step(self) -> gankit.Scalars:
        batch = self.next_batch()
        return self.update("discriminator", batch) | self.update("generator", batch, self.distance)

    def distance(self, turn: gankit.Turn) -> dict[str, Tensor]:
        order = torch.arange(1.0, 1 + len(self.rows), dtype=torch.float64)  # so that the order of the rows counts
        distances = (turn.fake.mean((1, 2))[:, None] - self.rows).square().mean(2)  # [n q]
        return {**self.terms(turn), "distance": -(distances @ order).mean()}

    def after(self, turn: gankit.Turn) -> None:
        if turn.player == "discriminator":
            self.rows = torch.cat([self.rows, turn.gather(turn.fake.mean((1, 2)))])[-self.size :]

    def state_dict(self) -> dict[str, Tensor]:
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.rows = state["rows"]
