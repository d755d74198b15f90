"""Latent distributions. Shapes: ``n`` latents of ``d`` dimensions."""

from __future__ import annotations

import torch
from torch import Tensor


class NormalLatent:
    """Independent standard normal dimensions, N(0, 1).

    Args:
        dim: the size d of the latents (``latent.dim``).
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def sample(self, n: int, labels: Tensor | None, generator: torch.Generator) -> Tensor:
        """Latents [n d], float32, on the generator's device; ``labels`` are not used."""
        return torch.randn(n, self.dim, generator=generator, device=generator.device, dtype=torch.float32)


class UniformLatent:
    """Independent dimensions, uniform in [-1, 1), as in the DCGAN paper (arXiv 1511.06434).

    Args:
        dim: the size d of the latents (``latent.dim``).
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def sample(self, n: int, labels: Tensor | None, generator: torch.Generator) -> Tensor:
        """Latents [n d], float32, on the generator's device; ``labels`` are not used."""
        return torch.rand(n, self.dim, generator=generator, device=generator.device, dtype=torch.float32) * 2 - 1

    def between(self, start: Tensor, end: Tensor, share: float) -> Tensor:
        """Interpolate linearly, which stays inside the cube [-1, 1)^d."""
        return start + (end - start) * share
