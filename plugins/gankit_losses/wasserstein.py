"""The Wasserstein loss."""

from __future__ import annotations

from torch import Tensor

import gankit


class Wasserstein:
    """Wasserstein GAN: the difference of the critic's means on reals and fakes (arXiv 1701.07875, eq. 2).

    The critic must be Lipschitz continuous: combine the loss with the regularizer ``gradient_penalty``.
    """

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        return turn.fake_logits.mean() - turn.real_logits.mean()

    def generator(self, turn: gankit.Turn) -> Tensor:
        return -turn.fake_logits.mean()
