"""Residual blocks of both networks, and conditional batch normalization.

Shapes: ``n`` images, ``c`` and ``o`` channels, ``h`` height, ``w`` width, ``e`` features of a condition.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import Conv2d, Linear

BATCH_NORM_EPSILON = 1e-4


class ConditionalBatchNorm(nn.Module):
    """Batch normalization whose gain - 1 and bias are linear in a condition; plain batch normalization without one.

    Args:
        channels: c.
        condition: e, or 0 for no condition.
        spectral: whether the linear layers have spectral norm.
    """

    def __init__(self, channels: int, condition: int, spectral: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, eps=BATCH_NORM_EPSILON, affine=not condition)
        self.gain = Linear(condition, channels, bias=False, spectral=spectral) if condition else None
        self.bias = Linear(condition, channels, bias=False, spectral=spectral) if condition else None

    def forward(self, features: Tensor, condition: Tensor | None) -> Tensor:
        """Features [n c h w] and the condition [n e] to [n c h w]."""
        normalized: Tensor = self.norm(features)
        if self.gain is None or self.bias is None:
            return normalized
        gain, bias = (1 + self.gain(condition)).to(normalized.dtype), self.bias(condition).to(normalized.dtype)
        return torch.addcmul(bias[:, :, None, None], normalized, gain[:, :, None, None])


class GeneratorBlock(nn.Module):
    """A residual block that doubles height and width (arXiv 1809.11096, fig. 15b).

    Args:
        channels: c.
        outputs: o.
        condition: e, or 0 for no condition.
        spectral: whether the layers have spectral norm.
    """

    def __init__(self, channels: int, outputs: int, condition: int, spectral: bool) -> None:
        super().__init__()
        self.norm1 = ConditionalBatchNorm(channels, condition, spectral)
        self.conv1 = Conv2d(channels, outputs, 3, spectral=spectral)
        self.norm2 = ConditionalBatchNorm(outputs, condition, spectral)
        self.conv2 = Conv2d(outputs, outputs, 3, spectral=spectral)
        self.shortcut = Conv2d(channels, outputs, 1, spectral=spectral)

    def forward(self, features: Tensor, condition: Tensor | None) -> Tensor:
        """Features [n c h w] and the condition [n e] to [n o 2h 2w]."""
        residual: Tensor = self.conv1.upsampled(F.relu(self.norm1(features, condition), inplace=True))
        residual = self.conv2(F.relu(self.norm2(residual, condition), inplace=True))
        # a 1x1 convolution and upsampling commute; this order needs a quarter of the work
        return residual + F.interpolate(self.shortcut(features), scale_factor=2)


class DiscriminatorBlock(nn.Module):
    """A residual block that halves height and width or keeps them (arXiv 1809.11096, fig. 15c).

    Args:
        channels: c.
        outputs: o.
        halve: whether it halves height and width.
        first: whether its input is the image, to which no ReLU is applied.
        rectified_shortcut: whether the ReLU of the input is applied to the shortcut as well.
    """

    def __init__(
        self, channels: int, outputs: int, *, halve: bool, first: bool, rectified_shortcut: bool = False
    ) -> None:
        super().__init__()
        self.halve, self.first, self.rectified_shortcut = halve, first, rectified_shortcut
        self.conv1 = Conv2d(channels, outputs, 3)
        self.conv2 = Conv2d(outputs, outputs, 3)
        self.shortcut = Conv2d(channels, outputs, 1) if halve or channels != outputs else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """[n c h w] to [n o h w] or [n o h/2 w/2]."""
        rectified = features if self.first else F.relu(features)
        residual = F.relu(self.conv1(rectified), inplace=True)
        features = rectified if self.rectified_shortcut else features
        if self.halve:
            residual = self.conv2.downsampled(residual)
            # a 1x1 convolution and pooling commute; this order needs a quarter of the work
            features = F.avg_pool2d(features, 2)
        else:
            residual = self.conv2(residual)
        shortcut: Tensor = self.shortcut(features)
        return residual + shortcut
