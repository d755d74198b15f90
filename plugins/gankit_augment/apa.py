"""AdaptiveProbability pseudo augmentation: fakes among the reals, as many as D is too sure of (arXiv 2111.06849)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from pydantic import PositiveInt

import gankit

from .adaptive_probability import AdaptiveProbability, Probability, Target


class APA(AdaptiveProbability):
    """AdaptiveProbability pseudo augmentation (arXiv 2111.06849): the usual game, with fakes shown to D as reals.

    Each real of D's turns is replaced by a fresh fake, made for its label, with probability p, which follows D's
    logits on what it is shown as real, as ADA's does; it is reported as ``apa_p``. For little data, alone or beside
    augmentations. It costs a generator forward for each of D's turns.

    Args:
        p: the probability to begin with; with ``target: null``, the probability.
        target: of E[sign(D(real))]; null keeps p as it is given, a number or a schedule.
        speed: images that it takes p to go from 0 to 1.
        interval: turns of D from one adjustment to the next.
    """

    def __init__(
        self,
        *,
        p: Probability = 0.0,
        target: Target = 0.6,
        speed: PositiveInt = 500_000,
        interval: PositiveInt = 4,
    ) -> None:
        super().__init__(p, target, speed, interval)

    def step(self, game: Any, batches: Iterator[gankit.Batch], state: Any) -> gankit.Scalars:
        """One update of G, after D's turns."""
        return gankit.adversarial_step(game, (self.deceive(game, batch) for batch in batches), state)

    def deceive(self, game: Any, batch: gankit.Batch) -> gankit.Batch:
        """The batch with fakes in the place of some reals."""
        fakes = game.draw_fakes(len(batch.images), batch.labels, graph=False).images
        replaced = torch.rand(len(fakes), 1, 1, 1, dtype=fakes.dtype, device=fakes.device) < self.probability()
        return gankit.Batch(torch.where(replaced, fakes, batch.images), batch.labels)

    def after(self, turn: gankit.Turn) -> gankit.Scalars:
        """Adjust p."""
        if turn.player != "discriminator":
            return {}
        self.follow(turn)
        return {"apa_p": self.probability()}
