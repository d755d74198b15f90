"""The LeCam regularizer."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import relu

import gankit


class LeCam(nn.Module):
    """LeCam: pulls D's logits to their running averages on the other side (arXiv 2104.03310, eq. 10).

    That is E[(D(x) - a_F)^2] on reals and E[(a_R - D(G(z)))^2] on fakes, with running averages a_R on reals and a_F on
    fakes; as in the authors' code, only where D(x) is above a_F and D(G(z)) below a_R. For small datasets.

    The averages are over all heads and all processes, and are stored in checkpoints. They start with the means of the
    first turn, which has no penalty unless ``interval`` is larger than 1.

    Args:
        weight: lambda in the paper.
        decay: decay rate of the averages per turn of D.
        interval: turns of D between applications.
    """

    real: Tensor
    fake: Tensor
    begun: Tensor

    def __init__(
        self,
        *,
        weight: Annotated[gankit.Scheduled, Field(ge=0)] = 0.3,
        decay: Annotated[float, Field(ge=0, lt=1)] = 0.99,
        interval: PositiveInt = 1,
    ) -> None:
        super().__init__()
        self.weight, self.decay, self.interval = weight, decay, interval
        for name in ("real", "fake", "begun"):
            self.register_buffer(name, torch.zeros(()))

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        above = relu(turn.real_logits - self.fake).square().mean()
        below = relu(self.real - turn.fake_logits).square().mean()
        return self.weight * self.begun * (above + below)

    def after(self, turn: gankit.Turn) -> None:
        """Update the averages."""
        if turn.player != "discriminator":
            return
        share = 1 - self.decay * self.begun
        for average, logits in ((self.real, turn.real_logits), (self.fake, turn.fake_logits)):
            average.lerp_(turn.mean(logits.mean()).to(average.dtype), share)
        self.begun.fill_(1)
