"""Self-attention over a feature map. Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``p`` pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import initialized


class SelfAttention(nn.Module):
    """Self-attention with a residual connection: ``x + gamma * attention(x)`` (arXiv 1805.08318, eq. 1 to 3).

    As in the authors' code, queries and keys have c / 8 channels, values have c / 2, keys and values are max-pooled by
    2, and the layers have no bias. ``gamma`` starts at 0, so that at first only ``gamma`` has a gradient.
    """

    def __init__(self, channels: int, spectral: bool) -> None:
        super().__init__()

        def pointwise(inputs: int, outputs: int) -> nn.Conv2d:
            return initialized(nn.Conv2d(inputs, outputs, 1, bias=False), spectral)

        key_channels, value_channels = max(1, channels // 8), max(1, channels // 2)
        self.query = pointwise(channels, key_channels)
        self.key = pointwise(channels, key_channels)
        self.value = pointwise(channels, value_channels)
        self.output = pointwise(value_channels, channels)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """[n c h w] to the same shape."""
        query = self.query(x).flatten(2)  # [n c/8 p]
        key, value = (F.max_pool2d(layer(x), 2).flatten(2) for layer in (self.key, self.value))  # [n ... p/4]
        weights = torch.softmax(query.transpose(1, 2) @ key, dim=2)  # [n p p/4]
        attended = (value @ weights.transpose(1, 2)).unflatten(2, x.shape[2:])
        output: Tensor = self.output(attended)
        return x + self.gamma.to(x.dtype) * output
