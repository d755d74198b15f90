"""The Wasserstein loss."""

from __future__ import annotations

from torch import Tensor

import gankit


class Wasserstein:
    """Wasserstein GAN: D is a critic, whose means on fakes and reals differ by a distance (arXiv 1701.07875, eq. 2).

    The critic must be kept Lipschitz: pair it with the regularizer ``gradient_penalty``.
    """

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        return turn.fake_logits.mean() - turn.real_logits.mean()

    def generator(self, turn: gankit.Turn) -> Tensor:
        return -turn.fake_logits.mean()
