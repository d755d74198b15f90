"""The least squares loss."""

from __future__ import annotations

from torch import Tensor

import gankit


class LeastSquares:
    """LSGAN: D's outputs are drawn to 1 on reals and 0 on fakes, G draws them to 1 (arXiv 1611.04076, eq. 9).

    Each mean square carries the factor 1/2 of the paper, which some implementations leave out.
    """

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        return ((turn.real_logits - 1).square().mean() + turn.fake_logits.square().mean()) / 2

    def generator(self, turn: gankit.Turn) -> Tensor:
        return (turn.fake_logits - 1).square().mean() / 2
