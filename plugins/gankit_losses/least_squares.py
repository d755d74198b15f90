"""The least-squares loss."""

from __future__ import annotations

from torch import Tensor

import gankit


class LeastSquares:
    """LSGAN: D regresses to 1 on reals and 0 on fakes, G pulls its output to 1 (arXiv 1611.04076, eq. 9).

    Each mean square has the paper's factor 1/2, which some implementations omit.
    """

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        return ((turn.real_logits - 1).square().mean() + turn.fake_logits.square().mean()) / 2

    def generator(self, turn: gankit.Turn) -> Tensor:
        return (turn.fake_logits - 1).square().mean() / 2
