"""Self-attention over a feature map. Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``p`` pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import prepared


class SelfAttention(nn.Module):
    """Every pixel sees all others: ``x + gamma * attention(x)`` (arXiv 1805.08318, eq. 1 to 3).

    As in the authors' code, queries and keys have c / 8 channels and values c / 2, keys and values are max-pooled by
    2, and layers have no bias. ``gamma`` starts at 0, so that only ``gamma`` has a gradient at first.
    """

    def __init__(self, channels: int, spectral: bool) -> None:
        super().__init__()

        def pointwise(inputs: int, outputs: int) -> nn.Conv2d:
            return prepared(nn.Conv2d(inputs, outputs, 1, bias=False), spectral)

        narrow, half = max(1, channels // 8), max(1, channels // 2)
        self.query = pointwise(channels, narrow)
        self.key = pointwise(channels, narrow)
        self.value = pointwise(channels, half)
        self.output = pointwise(half, channels)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """[n c h w] to the same shape."""
        query = self.query(x).flatten(2)  # [n c/8 p]
        key, value = (F.max_pool2d(layer(x), 2).flatten(2) for layer in (self.key, self.value))  # [n ... p/4]
        shares = torch.softmax(query.transpose(1, 2) @ key, dim=2)  # [n p p/4]
        seen = (value @ shares.transpose(1, 2)).unflatten(2, x.shape[2:])
        output: Tensor = self.output(seen)
        return x + self.gamma.to(x.dtype) * output
