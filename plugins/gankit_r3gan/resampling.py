"""Upsampling and downsampling of feature maps by 2; each is the adjoint of the other up to a factor of 4.

``bilinear`` applies the filter [1, 2, 1] after nearest-neighbor upsampling or before 2x2 average pooling: in total
[1, 3, 3, 1] / 8 along each axis, with zero padding. ``box`` applies no filter.

torch's derivatives of depthwise convolutions on the CPU are tens of times slower than the convolutions themselves: in
bf16 the first derivative, in fp32 the second, which gradient penalties need. Here, the derivative of each operation is
the other operation, to any order.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

import gankit

Resampling = Literal["bilinear", "box"]


def upsample(features: Tensor, resampling: Resampling) -> Tensor:
    """[n c h w] to [n c 2h 2w]. The mean is preserved except near the border."""
    upsampled: Tensor = _Upsample.apply(features, resampling)
    return upsampled


def downsample(features: Tensor, resampling: Resampling) -> Tensor:
    """[n c 2h 2w] to [n c h w]. The mean is preserved except near the border."""
    downsampled: Tensor = _Downsample.apply(features, resampling)
    return downsampled


class _Resampling(torch.autograd.Function):
    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Resampling], output: Tensor) -> None:
        ctx.resampling = inputs[1]


class _Upsample(_Resampling):
    @staticmethod
    def forward(features: Tensor, resampling: Resampling) -> Tensor:
        if features.device.type == "cpu" and features.dtype == torch.bfloat16:
            # of D's gradients, which come in the layout of its last layer; copying the largest map costs much more
            features = features.contiguous(memory_format=torch.channels_last)
        with gankit.full_precision(features):  # autocast computes interpolation in fp32
            nearest = F.interpolate(features, scale_factor=2.0, mode="nearest")
            return nearest if resampling == "box" else _filter(nearest, order=2, stride=1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return 4 * downsample(gradient, ctx.resampling), None


class _Downsample(_Resampling):
    @staticmethod
    def forward(features: Tensor, resampling: Resampling) -> Tensor:
        with gankit.full_precision(features):
            return F.avg_pool2d(features, 2) if resampling == "box" else _filter(features, order=3, stride=2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return upsample(gradient, ctx.resampling) / 4, None


def _filter(features: Tensor, order: int, stride: int) -> Tensor:
    """Convolve each channel with [1, 1] / 2 along both axes, ``order`` times: [1, 2, 1] / 4 or [1, 3, 3, 1] / 8."""
    line = features.new_ones(1)  # computed on the device, which a copy from the CPU would wait for
    for _ in range(order):
        line = (F.pad(line, (1, 0)) + F.pad(line, (0, 1))) / 2
    channels = features.shape[1]
    kernel = torch.outer(line, line).expand(channels, 1, -1, -1)
    return F.conv2d(features, kernel, stride=stride, padding=1, groups=channels)
