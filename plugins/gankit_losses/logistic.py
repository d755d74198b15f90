"""Losses in which D is a logistic classifier; its logits are log-odds.

Logits have any shape [n ...]; every mean is over all their elements.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

import gankit


class BCE:
    """Binary cross-entropy with the labels real = 1, fake = 0; G's fakes are labelled real (arXiv 1406.2661, sec. 3).

    Args:
        label_smoothing: in D's turn the reals' label is ``1 - label_smoothing``; fakes and G's turn keep theirs
            (one-sided smoothing, arXiv 1606.03498, sec. 3.4).
    """

    def __init__(self, *, label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0) -> None:
        self.label_smoothing = label_smoothing

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        real_loss = _cross_entropy(turn.real_logits, 1 - self.label_smoothing)
        return real_loss + _cross_entropy(turn.fake_logits, 0.0)

    def generator(self, turn: gankit.Turn) -> Tensor:
        return _cross_entropy(turn.fake_logits, 1.0)


class NonSaturating:
    """The non-saturating game, -log D(G(z)) for G, in its softplus form (arXiv 1406.2661, sec. 3)."""

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        return softplus(-turn.real_logits).mean() + softplus(turn.fake_logits).mean()

    def generator(self, turn: gankit.Turn) -> Tensor:
        return softplus(-turn.fake_logits).mean()


class Relativistic:
    """Relativistic pairing, RpGAN: each real against the fake of its place (arXiv 1807.00734; 2501.05441)."""

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        return softplus(turn.fake_logits - turn.real_logits).mean()

    def generator(self, turn: gankit.Turn) -> Tensor:
        return softplus(turn.real_logits - turn.fake_logits).mean()


def _cross_entropy(logits: Tensor, label: float) -> Tensor:
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
