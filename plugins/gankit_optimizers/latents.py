"""Where latents come from. Shapes: ``n`` latents of ``d`` dimensions."""

from __future__ import annotations

import torch
from torch import Tensor


class NormalLatent:
    """Independent standard normal dimensions, N(0, 1).

    Args:
        dim: d.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def sample(self, n: int, labels: Tensor | None, generator: torch.Generator) -> Tensor:
        """Latents [n d], float32, on the generator's device; ``labels`` are of no influence."""
        return torch.randn(n, self.dim, generator=generator, device=generator.device, dtype=torch.float32)


class UniformLatent:
    """Independent dimensions uniform in [-1, 1), as in the paper of DCGAN (arXiv 1511.06434).

    Args:
        dim: d.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def sample(self, n: int, labels: Tensor | None, generator: torch.Generator) -> Tensor:
        """Latents [n d], float32, on the generator's device; ``labels`` are of no influence."""
        return torch.rand(n, self.dim, generator=generator, device=generator.device, dtype=torch.float32) * 2 - 1

    def between(self, start: Tensor, end: Tensor, share: float) -> Tensor:
        """On the straight line, which never leaves the cube that these latents fill."""
        return start + (end - start) * share
