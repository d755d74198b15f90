"""The hinge loss."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu

import gankit


class Hinge:
    """Hinge loss: D learns only from logits within a margin of 1 (arXiv 1705.02894; 1802.05957, eq. 16 and 17)."""

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        return relu(1 - turn.real_logits).mean() + relu(1 + turn.fake_logits).mean()

    def generator(self, turn: gankit.Turn) -> Tensor:
        return -turn.fake_logits.mean()
