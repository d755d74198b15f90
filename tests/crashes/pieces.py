"""A plugin with all that a checkpoint must hold: components whose state changes as the run goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

import gankit


class Strengthened(nn.Module):
    """An augmentation whose strength follows D's outputs, as an adaptive one's does."""

    strength: Tensor

    def __init__(self, image: gankit.ImageSpec) -> None:
        super().__init__()
        self.register_buffer("strength", torch.tensor(0.0))

    def forward(self, images: Tensor) -> Tensor:
        noise = torch.randn_like(images)
        return images + self.strength * 0.1 * noise

    def after(self, turn: gankit.Turn) -> None:
        if turn.player == "discriminator":
            self.strength += 0.01 * turn.real_logits.mean().sign() + 0.02


class Counting:
    """A callback that counts the steps it has seen."""

    def __init__(self) -> None:
        self.seen = 0

    def on_step_end(self, run: gankit.Run) -> None:
        self.seen += 1

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.seen = int(state["seen"])


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    registries.augmentations.add("strengthened", Strengthened)
    registries.callbacks.add("counting", Counting)
