"""The mapping network: from latents and labels to styles (arXiv 1812.04948, sec. 2).

Shapes: ``n`` images, ``d`` latent dimensions, ``s`` features of a style.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gankit

from .layers import EqualizedLinear, normalized


class Mapping(nn.Module):
    """Fully connected layers with a low learning rate from a normalized latent, a label, or both, to a style.

    The embedding of a label is normalized like the latent and concatenated with it, as in the official code of arXiv
    2006.06676.

    Args:
        latent_dim: d; 0 if only labels are mapped.
        classes: number of classes; 0 if only latents are mapped.
        style_dim: s.
        layers: number of layers.
        learning_rate: factor of their learning rate.
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
        """Latents [n d] and labels [n] to styles [n s]. Raises: ValueError: required labels are missing."""
        parts = [] if z is None else [normalized(z)]
        if self.embedding is not None:
            labels = gankit.require_labels(labels, "stylegan2", self.classes)
            # unlike a lookup table, this has equalized learning rate and a bias shared by the classes
            parts.append(normalized(self.embedding(F.one_hot(labels, self.classes))))
        styles: Tensor = self.layers(torch.cat(parts, dim=1))
        return styles
