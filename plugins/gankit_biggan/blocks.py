"""Residual blocks, conditional batch normalization and self-attention.

Shapes: ``n`` images, ``c`` channels, ``h w`` pixels, ``e`` features of a condition.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import Conv2d, Linear

BATCH_NORM_EPSILON = 1e-4


class ConditionalBatchNorm(nn.Module):
    """Batch normalization whose gain and bias are linear in a condition, the gain about 1; learnt alone without one.

    Args:
        channels: c.
        condition: e, or 0 for none.
        spectral: whether the linear layers are spectrally normalized.
    """

    def __init__(self, channels: int, condition: int, spectral: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, eps=BATCH_NORM_EPSILON, affine=not condition)
        self.gain = Linear(condition, channels, bias=False, spectral=spectral) if condition else None
        self.bias = Linear(condition, channels, bias=False, spectral=spectral) if condition else None

    def forward(self, features: Tensor, condition: Tensor | None) -> Tensor:
        """[n c h w] and [n e] to [n c h w]."""
        normal: Tensor = self.norm(features)
        if self.gain is None or self.bias is None:
            return normal
        gain, bias = (1 + self.gain(condition)).to(normal.dtype), self.bias(condition).to(normal.dtype)
        return torch.addcmul(bias[:, :, None, None], normal, gain[:, :, None, None])


class GeneratorBlock(nn.Module):
    """A residual block that doubles the size (arXiv 1809.11096, fig. 15b).

    Args:
        channels: of its input.
        outputs: of its result.
        condition: e, or 0 for none.
        spectral: whether its layers are spectrally normalized.
    """

    def __init__(self, channels: int, outputs: int, condition: int, spectral: bool) -> None:
        super().__init__()
        self.norm1 = ConditionalBatchNorm(channels, condition, spectral)
        self.conv1 = Conv2d(channels, outputs, 3, spectral=spectral)
        self.norm2 = ConditionalBatchNorm(outputs, condition, spectral)
        self.conv2 = Conv2d(outputs, outputs, 3, spectral=spectral)
        self.shortcut = Conv2d(channels, outputs, 1, spectral=spectral)

    def forward(self, features: Tensor, condition: Tensor | None) -> Tensor:
        """[n c h w] and [n e] to [n o 2h 2w]."""
        inner: Tensor = self.conv1(F.interpolate(F.relu(self.norm1(features, condition), inplace=True), scale_factor=2))
        inner = self.conv2(F.relu(self.norm2(inner, condition), inplace=True))
        outer: Tensor = self.shortcut(features)
        # a 1x1 convolution commutes with doubling, and costs a quarter before it
        doubled: Tensor = F.interpolate(outer, scale_factor=2)
        return inner + doubled


class DiscriminatorBlock(nn.Module):
    """A residual block that halves the size or keeps it (arXiv 1809.11096, fig. 15c).

    Args:
        channels: of its input.
        outputs: of its result.
        halve: whether it halves the size.
        first: whether its input are images, which no ReLU comes before.
    """

    def __init__(self, channels: int, outputs: int, *, halve: bool, first: bool) -> None:
        super().__init__()
        self.halve, self.first = halve, first
        self.conv1 = Conv2d(channels, outputs, 3)
        self.conv2 = Conv2d(outputs, outputs, 3)
        self.shortcut = Conv2d(channels, outputs, 1) if halve or channels != outputs else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """[n c h w] to [n o h w], or half of that size."""
        inner = F.relu(self.conv1(features if self.first else F.relu(features)), inplace=True)
        if self.halve:
            inner = self.conv2.before_halving(inner)
            features = F.avg_pool2d(features, 2)  # a 1x1 convolution commutes with it, and costs a quarter after it
        else:
            inner = self.conv2(inner)
        outer: Tensor = self.shortcut(features)
        return inner + outer


class SelfAttention(nn.Module):
    """Self-attention over pixels, whose share starts at 0 (arXiv 1805.08318, with keys and values at half the size).

    Args:
        channels: c.
        spectral: whether its layers are spectrally normalized.
    """

    def __init__(self, channels: int, spectral: bool) -> None:
        super().__init__()
        inner, outer = max(1, channels // 8), max(1, channels // 2)
        self.query = Conv2d(channels, inner, 1, bias=False, spectral=spectral)
        self.key = Conv2d(channels, inner, 1, bias=False, spectral=spectral)
        self.value = Conv2d(channels, outer, 1, bias=False, spectral=spectral)
        self.out = Conv2d(outer, channels, 1, bias=False, spectral=spectral)
        self.share = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """[n c h w] to the same."""
        query = self.query(features).flatten(2)
        key = F.max_pool2d(self.key(features), 2).flatten(2)
        value = F.max_pool2d(self.value(features), 2).flatten(2)
        # written out, for torch's fused attention cannot be differentiated twice
        weights = torch.softmax(query.transpose(1, 2) @ key, dim=2)  # [n h*w h*w/4]
        seen: Tensor = self.out((value @ weights.transpose(1, 2)).unflatten(2, features.shape[2:]))
        return features + self.share * seen
