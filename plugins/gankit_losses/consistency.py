"""Consistency regularization: D's logits should not change when an image is augmented.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

import gankit

Weight = Annotated[gankit.Scheduled, Field(ge=0)]


class Consistency:
    """CR-GAN, and bCR-GAN with ``fake_weight``: the mean squared difference of D's logits on x and on T(x).

    T flips an image at random and shifts it by whole pixels, with reflected borders (arXiv 1910.12027, eq. 3;
    balanced: arXiv 2002.04724, alg. 1, with 10 for both weights). If the run has augmentations, D sees x and T(x)
    through independent draws of them, so the loss enforces consistency under them as well. Of a map of logits, which T
    moves with the image, the means are compared. T does not move the fields of the data that D may also receive.

    Args:
        weight: on reals.
        fake_weight: on fakes.
        shift: maximum shift, as a fraction of each side, rounded to pixels.
        flip: whether to flip.
        interval: turns of D between applications.
    """

    def __init__(
        self,
        *,
        weight: Weight = 10.0,
        fake_weight: Weight = 0.0,
        shift: Annotated[float, Field(ge=0, le=0.5)] = 0.125,
        flip: bool = True,
        interval: PositiveInt = 1,
    ) -> None:
        self.weight, self.fake_weight, self.interval = weight, fake_weight, interval
        self.shift, self.flip = shift, flip

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        if not self.weight and not self.fake_weight:
            return 0 * turn.real_logits.mean()  # a lazy turn needs a gradient
        total = turn.real.new_zeros(())
        if self.weight:
            total = total + self.weight * self._difference(turn, "real")
        if self.fake_weight:
            total = total + self.fake_weight * self._difference(turn, "fake")
        return total

    def _difference(self, turn: gankit.Turn, side: Literal["real", "fake"]) -> Tensor:
        """The mean squared difference of the mean logits of each head on the turn's images and on T of them."""
        images: Tensor = getattr(turn, side)
        moved = turn.discriminate(self.move(turn, images.detach()))
        return (_mean_logits(getattr(turn, f"{side}_output")) - _mean_logits(moved)).square().mean()

    def move(self, turn: gankit.Turn, images: Tensor) -> Tensor:
        """T(images), [n c h w], with random numbers of the turn."""
        rows = self._source(turn, images.shape[2])
        columns = self._source(turn, images.shape[3])
        if self.flip:
            flipped = turn.uniform(1) < 0.5
            columns = torch.where(flipped, columns.flip(1), columns)
        return images.take_along_dim(rows[:, None, :, None], 2).take_along_dim(columns[:, None, None], 3)

    def _source(self, turn: gankit.Turn, side: int) -> Tensor:
        """The index that each pixel of a row or column is taken from, [n side]."""
        max_shift = min(int(side * self.shift + 0.5), side - 1)
        shifts = (turn.uniform(1) * (2 * max_shift + 1)).long() - max_shift
        position = (torch.arange(side, device=shifts.device) + shifts).abs()
        return torch.minimum(position, 2 * (side - 1) - position)


def _mean_logits(output: Any) -> Tensor:
    """The mean logit of each image and head, [n heads]."""
    return torch.stack([head.reshape(len(head), -1).mean(dim=1) for head in gankit.heads_of(output)], dim=1)
