"""Adaptive pseudo augmentation (APA, arXiv 2111.06849): fakes presented to D as reals."""

from __future__ import annotations

import torch
from pydantic import PositiveInt

import gankit

from .adaptive_probability import AdaptiveProbability, Probability, Target


class APA(AdaptiveProbability, gankit.Adversarial):
    """Adaptive pseudo augmentation (arXiv 2111.06849): the adversarial game with some reals replaced by fakes.

    In D's turns, each real is replaced, with probability p, by a new fake with the same label. p is adapted as in ADA,
    from D's logits on the images presented as real, and reported as ``apa_p``. G's turn is not changed: losses such as
    ``reconstruction`` compare with real images only. APA is meant for small datasets, with or without augmentations. It
    costs one forward pass of G per turn of D.

    Args:
        p: initial probability; with ``target: null``, the probability.
        target: target of E[sign(D(real))]; null keeps p as given, a number or a schedule.
        speed: number of images in which p goes from 0 to 1.
        interval: turns of D between adjustments.
    """

    reported_as = "apa_p"

    def __init__(
        self, *, p: Probability = 0.0, target: Target = 0.6, speed: PositiveInt = 500_000, interval: PositiveInt = 4
    ) -> None:
        super().__init__(p, target, speed, interval)

    def shown_to_discriminator(self, batch: gankit.Batch) -> gankit.Batch:
        """The batch with some reals replaced by fakes."""
        fakes = self.draw_fakes(batch, graph=False).images
        replaced = torch.rand(len(fakes), 1, 1, 1, dtype=fakes.dtype, device=fakes.device) < self.probability()
        return batch.replace(images=torch.where(replaced, fakes, batch.images))
