"""Initialized layers with optional spectral norm, convolutions that resample, and class-conditional BatchNorm.

Shapes: ``n`` images, ``c`` channels in, ``o`` channels out, ``h`` height, ``w`` width.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear, nn.Embedding)

RESIDUAL_GAIN = 2**0.5  # of Glorot initialization in the authors' code, for layers that follow a ReLU


def initialized(layer: Layer, spectral: bool, gain: float = 1.0) -> Layer:
    """Initialize a layer with Glorot-uniform weights and zero biases, and add spectral norm if ``spectral``.

    Spectral norm divides the weight by its largest singular value, which one power iteration per forward pass in
    training mode estimates (arXiv 1802.05957, algorithm 1).

    Args:
        layer: convolution, linear layer or embedding; changed in place.
        spectral: whether to add spectral norm.
        gain: scaling factor of the initial weights.
    """
    nn.init.xavier_uniform_(layer.weight, gain)
    if isinstance(layer, (nn.Conv2d, nn.Linear)) and layer.bias is not None:
        nn.init.zeros_(layer.bias)
    if spectral:
        spectral_norm(layer)
    return layer


class BatchNorm(nn.BatchNorm2d):
    """BatchNorm; with classes, each class has its own scale and shift (arXiv 1707.00683)."""

    def __init__(self, channels: int, classes: int = 0, epsilon: float = 1e-5) -> None:
        super().__init__(channels, epsilon, affine=not classes)
        self.scale = nn.Embedding(classes, channels) if classes else None
        self.shift = nn.Embedding(classes, channels) if classes else None
        if self.scale is not None and self.shift is not None:
            nn.init.ones_(self.scale.weight)
            nn.init.zeros_(self.shift.weight)

    def forward(self, input: Tensor, labels: Tensor | None = None) -> Tensor:
        """[n c h w] and, with classes, labels [n] to [n c h w]."""
        x = super().forward(input)
        if self.scale is None or self.shift is None:
            return x
        # in the type of x, so that the result is not promoted to fp32
        scale, shift = (embedding(labels)[:, :, None, None].to(x.dtype) for embedding in (self.scale, self.shift))
        return torch.addcmul(shift, scale, x)
