"""The mapping network: from a latent and a label to a style (arXiv 1812.04948, sec. 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import EqualizedLinear, normalized


class Mapping(nn.Module):
    """Fully connected layers of a low learning rate from a normalized latent, or label, or both, to a style.

    A label is embedded and normalized like the latent, and joined to it (arXiv 2006.06676, official settings).

    Args:
        latent_dim: d; 0 where only labels are mapped.
        classes: how many labels there are; 0 where only latents are mapped.
        style_dim: s.
        layers: how many.
        learning_rate: multiplier of their learning rate.
    """

    def __init__(self, latent_dim: int, classes: int, style_dim: int, layers: int, learning_rate: float) -> None:
        super().__init__()
        self.classes = classes
        self.embedding = EqualizedLinear(classes, style_dim) if classes else None
        inputs = latent_dim + (style_dim if classes else 0)
        self.layers = nn.Sequential(
            *(
                EqualizedLinear(style_dim if index else inputs, style_dim, learning_rate=learning_rate, activate=True)
                for index in range(layers)
            )
        )

    def forward(self, z: Tensor | None, labels: Tensor | None = None) -> Tensor:
        """Latents [n d] and labels [n] to styles [n s]. Raises: ValueError, where labels are needed and missing."""
        parts = [] if z is None else [normalized(z)]
        if self.embedding is not None:
            if labels is None:
                raise ValueError(f"this stylegan2 was built for {self.classes} classes: pass labels [n], one an image")
            # not a table: like every layer, scaled and with a bias, which the classes share
            parts.append(normalized(self.embedding(F.one_hot(labels, self.classes))))
        styles: Tensor = self.layers(torch.cat(parts, dim=1))
        return styles
