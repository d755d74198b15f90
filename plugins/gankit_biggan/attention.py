"""Self-attention over the pixels of a feature map. Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import Conv2d


class SelfAttention(nn.Module):
    """Self-attention with a residual connection (arXiv 1805.08318), added with a learned factor that starts at 0.

    Keys and values are max-pooled by 2, as in the author's code.

    Args:
        channels: c.
        spectral: whether the layers have spectral norm.
    """

    def __init__(self, channels: int, spectral: bool) -> None:
        super().__init__()
        key_channels, value_channels = max(1, channels // 8), max(1, channels // 2)
        self.query = Conv2d(channels, key_channels, 1, bias=False, spectral=spectral)
        self.key = Conv2d(channels, key_channels, 1, bias=False, spectral=spectral)
        self.value = Conv2d(channels, value_channels, 1, bias=False, spectral=spectral)
        self.out = Conv2d(value_channels, channels, 1, bias=False, spectral=spectral)
        self.share = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """[n c h w] to the same shape."""
        query = self.query(features).flatten(2)
        key = F.max_pool2d(self.key(features), 2).flatten(2)
        value = F.max_pool2d(self.value(features), 2).flatten(2)
        # torch's fused attention cannot be differentiated twice
        weights = torch.softmax(query.transpose(1, 2) @ key, dim=2)  # [n h*w h*w/4]
        attended: Tensor = self.out((value @ weights.transpose(1, 2)).unflatten(2, features.shape[2:]))
        return features + self.share * attended
