"""Doubling and halving feature maps, each the other's adjoint up to a factor of 4.

``bilinear`` is the filter [1, 2, 1] over pixels that are doubled, or averaged in pairs: [1, 3, 3, 1] / 8 along each
axis, zero beyond the border. ``box`` leaves the filter away.

On the CPU, torch's own derivatives of depthwise convolutions are tens of times slower than the convolutions themselves:
in bf16 the first already, in fp32 the second, which gradient penalties take. Here, the derivative of either
operation is the other one, any number of times.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from .precision import full_precision

Resampling = Literal["bilinear", "box"]


def double(features: Tensor, resampling: Resampling) -> Tensor:
    """[n c h w] to [n c 2h 2w]; the mean stays, but for the border."""
    doubled: Tensor = _Double.apply(features, resampling)
    return doubled


def halve(features: Tensor, resampling: Resampling) -> Tensor:
    """[n c 2h 2w] to [n c h w]; the mean stays, but for the border."""
    halved: Tensor = _Halve.apply(features, resampling)
    return halved


class _Double(torch.autograd.Function):
    @staticmethod
    def forward(features: Tensor, resampling: Resampling) -> Tensor:
        with full_precision(features):  # which would leave bf16 for the first of the two
            nearest = F.interpolate(features, scale_factor=2.0, mode="nearest")
            return nearest if resampling == "box" else _filter(nearest, [1, 2, 1], stride=1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Resampling], output: Tensor) -> None:
        ctx.resampling = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return 4 * halve(gradient, ctx.resampling), None


class _Halve(torch.autograd.Function):
    @staticmethod
    def forward(features: Tensor, resampling: Resampling) -> Tensor:
        with full_precision(features):
            if resampling == "box":
                return F.avg_pool2d(features, 2)
            return _filter(features, [1, 3, 3, 1], stride=2)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Resampling], output: Tensor) -> None:
        ctx.resampling = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return double(gradient, ctx.resampling) / 4, None


def _filter(features: Tensor, taps: list[int], stride: int) -> Tensor:
    """Each channel convolved with the taps along both axes, which sum to one."""
    line = torch.tensor(taps, dtype=features.dtype, device=features.device) / sum(taps)
    channels = features.shape[1]
    kernel = torch.outer(line, line).expand(channels, 1, -1, -1)
    return F.conv2d(features, kernel, stride=stride, padding=1, groups=channels)
