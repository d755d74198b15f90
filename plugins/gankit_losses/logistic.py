"""Losses with a logistic classifier as D, whose logits are log-odds.

Logits have any shape [n ...]; means are over all elements.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

import gankit


class BCE:
    """Binary cross-entropy with labels 1 for reals and 0 for fakes; G's fakes are labeled 1 (arXiv 1406.2661, sec. 3).

    Args:
        label_smoothing: the label of reals in D's turn is ``1 - label_smoothing``; all others are unchanged (one-sided
            smoothing, arXiv 1606.03498, sec. 3.4).
    """

    def __init__(self, *, label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0) -> None:
        self.label_smoothing = label_smoothing

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        real_loss = _cross_entropy(turn.real_logits, 1 - self.label_smoothing)
        return real_loss + _cross_entropy(turn.fake_logits, 0.0)

    def generator(self, turn: gankit.Turn) -> Tensor:
        return _cross_entropy(turn.fake_logits, 1.0)


class NonSaturating:
    """Non-saturating loss, -log D(G(z)) for G, computed with softplus (arXiv 1406.2661, sec. 3)."""

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        return softplus(-turn.real_logits).mean() + softplus(turn.fake_logits).mean()

    def generator(self, turn: gankit.Turn) -> Tensor:
        return softplus(-turn.fake_logits).mean()


class Relativistic:
    """Relativistic pairing loss, RpGAN: each real paired with the fake of its index (arXiv 1807.00734; 2501.05441)."""

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        return softplus(turn.fake_logits - turn.real_logits).mean()

    def generator(self, turn: gankit.Turn) -> Tensor:
        return softplus(turn.real_logits - turn.fake_logits).mean()


class RelativisticAverage:
    """Relativistic average loss, RaGAN: each logit minus the mean logit of the other side (arXiv 1807.00734).

    It is the sum of the cross-entropies of both sides, as in ESRGAN (arXiv 1809.00219, eq. 1 and 2); some
    implementations halve it. In G's turn, gradients reach G through its fakes and through their mean.

    The means are over all logits of the batch, in all processes. With ``train.microbatch``, they are over the current
    microbatch only, so that the loss is that of a smaller batch.
    """

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        return _above_average(turn, turn.real_logits, turn.fake_logits)

    def generator(self, turn: gankit.Turn) -> Tensor:
        return _above_average(turn, turn.fake_logits, turn.real_logits)


def _above_average(turn: gankit.Turn, high: Tensor, low: Tensor) -> Tensor:
    """Small if the logits ``high`` are above the mean of ``low``, and the logits ``low`` below the mean of ``high``."""
    mean_high, mean_low = turn.mean(high.mean()), turn.mean(low.mean())
    return softplus(mean_low - high).mean() + softplus(low - mean_high).mean()


def _cross_entropy(logits: Tensor, label: float) -> Tensor:
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
