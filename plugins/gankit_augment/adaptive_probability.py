"""A probability that adapts to D's confidence on the reals (arXiv 2006.06676, sec. 3.1)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import AfterValidator, Field, ValidationInfo
from torch import Tensor, nn

import gankit


def _fixed_p(target: float | None, info: ValidationInfo) -> float | None:
    """Refuse a target together with a scheduled p."""
    if target is not None and not isinstance(info.data.get("p", 0.0), float):
        raise ValueError(f"p is scheduled, but is also adapted to target {target}; set target: null, or p to a number")
    return target


Probability = Annotated[gankit.Scheduled, Field(ge=0, le=1)]
Target = Annotated[Annotated[float, Field(gt=-1, lt=1)] | None, AfterValidator(_fixed_p), Field(validate_default=True)]
"""Target of r_t; the parameter must come after ``p``."""


class AdaptiveProbability(nn.Module):
    """A probability p that follows the sign of D's logits on the reals, or a fixed or scheduled one.

    Every ``interval`` of D's turns, p moves by the number of images shown since the last adjustment, divided by
    ``speed``: up if r_t = E[sign(D(real))] over these turns is above ``target``, down if it is below, within [0, 1].
    For the first adjustment, the images of the first turn are not counted. It never waits for the device.

    Args:
        p: initial value; without a target, the probability, which may be scheduled.
        target: of r_t; None keeps p as given.
        speed: number of images in which p goes from 0 to 1.
        interval: turns of D between adjustments.
    """

    reported_as: str
    adapted: Tensor
    signs: Tensor
    turns: Tensor
    since: Tensor

    def __init__(self, p: float, target: float | None, speed: int, interval: int) -> None:
        super().__init__()
        self.target, self.speed, self.interval = target, speed, interval
        self.p = float(p)
        self.register_buffer("adapted", torch.tensor(self.p))
        self.register_buffer("signs", torch.zeros(()))  # summed since the last adjustment
        self.register_buffer("turns", torch.zeros((), dtype=torch.int64))  # since the last adjustment
        self.register_buffer("since", torch.full((), -1, dtype=torch.int64))  # images shown by then; -1: none yet

    def probability(self) -> Tensor:
        """The current p, 0-d, on the device."""
        return torch.full_like(self.adapted, self.p) if self.target is None else self.adapted.clone()

    def after(self, turn: gankit.Turn) -> gankit.Scalars:
        """Adjust p after a turn of D, and report it."""
        if turn.player != "discriminator":
            return {}
        if self.target is not None:
            self._adjust(turn, self.target)
        return {self.reported_as: self.probability()}

    def _adjust(self, turn: gankit.Turn, target: float) -> None:
        # images_seen counts the images of all processes, and the signs are averaged over all: p is the same in each
        self.since.copy_(torch.where(self.since < 0, turn.images_seen, self.since))
        self.signs += turn.mean(turn.real_logits.sign().mean().to(self.signs.dtype))
        self.turns += 1
        due = self.turns == self.interval
        direction = (self.signs / self.turns - target).sign() * due
        self.adapted.add_(direction * (turn.images_seen - self.since) / self.speed).clamp_(0, 1)
        self.since.copy_(torch.where(due, turn.images_seen, self.since))
        self.signs *= ~due
        self.turns *= ~due
