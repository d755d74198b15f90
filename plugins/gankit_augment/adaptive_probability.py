"""A probability that keeps D from telling the reals apart too surely (arXiv 2006.06676, sec. 3.1)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import AfterValidator, Field, ValidationInfo
from torch import Tensor, nn

import gankit


def _alone(target: float | None, info: ValidationInfo) -> float | None:
    """A target, if there is one, beside a p that it alone moves."""
    if target is not None and not isinstance(info.data.get("p", 0.0), float):
        raise ValueError(f"p is scheduled, and adapted to target {target} too; give target: null, or p as a number")
    return target


Probability = Annotated[gankit.Scheduled, Field(ge=0, le=1)]
Target = Annotated[Annotated[float, Field(gt=-1, lt=1)] | None, AfterValidator(_alone), Field(validate_default=True)]
"""Of r_t; a parameter that follows ``p``."""


class AdaptiveProbability(nn.Module):
    """Has a probability that follows the sign of D's logits on the reals, or keeps to what it is given.

    Every ``interval`` of D's turns, r_t = E[sign(D(real))] over them moves p by the images shown since, divided by
    ``speed``: up where r_t is above ``target`` and down where it is not, within [0, 1]. The device is never waited for.

    Args:
        p: to begin with; without a target, the probability, which may be scheduled.
        target: of r_t; None keeps p as it is given.
        speed: images that it takes p to go from 0 to 1.
        interval: turns of D from one adjustment to the next.
    """

    adapted: Tensor
    signs: Tensor
    turns: Tensor
    since: Tensor

    def __init__(self, p: float, target: float | None, speed: int, interval: int) -> None:
        super().__init__()
        self.target, self.speed, self.interval = target, speed, interval
        self.p = float(p)
        self.register_buffer("adapted", torch.tensor(self.p))
        self.register_buffer("signs", torch.zeros(()))  # summed since the last adjustment, as are the turns
        self.register_buffer("turns", torch.zeros((), dtype=torch.int64))
        self.register_buffer("since", torch.full((), -1, dtype=torch.int64))  # images shown by then; -1: none yet

    def probability(self) -> Tensor:
        """What holds now, 0-d, on the device."""
        return torch.full_like(self.adapted, self.p) if self.target is None else self.adapted.clone()

    def follow(self, turn: gankit.Turn) -> None:
        """Take notice of a turn of D, and adjust p where it is time."""
        if self.target is None:
            return
        # images_seen counts those of all processes, whose signs are averaged likewise: p is the same in all of them
        self.since.copy_(torch.where(self.since < 0, turn.images_seen, self.since))
        self.signs += turn.mean(turn.real_logits.sign().mean().to(self.signs.dtype))
        self.turns += 1
        due = self.turns == self.interval
        way = (self.signs / self.turns - self.target).sign() * due
        self.adapted.add_(way * (turn.images_seen - self.since) / self.speed).clamp_(0, 1)
        self.since.copy_(torch.where(due, turn.images_seen, self.since))
        self.signs *= ~due
        self.turns *= ~due
