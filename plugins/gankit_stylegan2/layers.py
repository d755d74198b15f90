"""Layers of both networks: equalized learning rate, and resampling with the filter [1, 3, 3, 1].

Equalized learning rate (arXiv 1710.10196, sec. 4.1): weights are initialized from N(0, 1) and scaled in the forward
pass, so that one learning rate suits layers of all sizes. The leaky ReLU has a slope of 0.2 and a gain of sqrt(2). As a
positive factor, the gain can be applied before the activation; it is part of the weight's scale.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``f`` features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gankit

SLOPE = 0.2
ACTIVATION_GAIN = math.sqrt(2)
EPSILON = 1e-8


class EqualizedLinear(nn.Module):
    """A fully connected layer, computed in full precision also under autocast.

    Args:
        inputs: input features.
        outputs: output features.
        bias: initial value of the bias.
        learning_rate: factor of the learning rate of weight and bias.
        activate: whether to apply a leaky ReLU.
    """

    def __init__(
        self, inputs: int, outputs: int, bias: float = 0.0, learning_rate: float = 1.0, activate: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / learning_rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / learning_rate))
        gain = ACTIVATION_GAIN if activate else 1.0
        self.weight_gain, self.bias_gain = gain * learning_rate / math.sqrt(inputs), gain * learning_rate
        self.activate = activate

    def forward(self, features: Tensor) -> Tensor:
        """[n inputs] to [n outputs], in the type of the weight."""
        with gankit.full_precision(features):
            result = F.linear(
                features.to(self.weight.dtype), self.weight * self.weight_gain, self.bias * self.bias_gain
            )
        return F.leaky_relu(result, SLOPE) if self.activate else result


class EqualizedConv(nn.Module):
    """A convolution that keeps height and width, or halves them.

    Args:
        inputs: input channels.
        outputs: output channels.
        kernel: kernel size in pixels.
        down: whether to low-pass filter the input and halve height and width.
        activate: whether to add a bias and apply a leaky ReLU.
        gain: factor of the output.
        clamp: bound of the activation's absolute values, before ``gain``.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        down: bool = False,
        activate: bool = True,
        gain: float = 1.0,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        stride, padding = (2, 0) if down else (1, kernel // 2)
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        nn.init.normal_(self.conv.weight)
        self.bias = nn.Parameter(torch.zeros(outputs)) if activate else None
        self.bias_gain = gain * (ACTIVATION_GAIN if activate else 1.0)
        self.weight_gain = self.bias_gain / math.sqrt(inputs * kernel**2)
        self.clamp = None if clamp is None else clamp * gain
        self.blur = Blur((kernel + 1) // 2) if down else None

    def forward(self, images: Tensor) -> Tensor:
        """[n inputs h w] to [n outputs h w] or [n outputs h/2 w/2]."""
        result: Tensor = self.conv(images if self.blur is None else self.blur(images))
        if self.bias is None:
            return result * self.weight_gain
        bias = (self.bias * self.bias_gain).to(result.dtype)[:, None, None]
        return activated(torch.add(bias, result, alpha=self.weight_gain), self.clamp)


class _LowPass(nn.Module):
    """The low-pass filter [1, 3, 3, 1] / 8 along both axes, times ``gain``."""

    filter: Tensor

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("filter", gain * (line[:, None] * line), persistent=False)

    def kernel(self, images: Tensor) -> Tensor:
        """The filter for each channel of a depthwise convolution of images [n c h w]: [c 1 4 4]."""
        return self.filter.to(images.dtype).expand(images.shape[1], 1, -1, -1)


class Blur(_LowPass):
    """The low-pass filter.

    Args:
        padding: zeros on each side. Height and width grow by ``2 * padding - 3`` pixels.
    """

    def __init__(self, padding: int) -> None:
        super().__init__()
        self.padding = padding

    def forward(self, images: Tensor) -> Tensor:
        """[n c h w] to [n c h' w']."""
        return F.conv2d(images, self.kernel(images), padding=self.padding, groups=images.shape[1])


class Upsample(_LowPass):
    """Upsampling by 2: zeros between the pixels, then the low-pass filter."""

    def __init__(self) -> None:
        super().__init__(gain=4.0)  # 3 of 4 pixels are zeros

    def forward(self, images: Tensor) -> Tensor:
        """[n c h w] to [n c 2h 2w]."""
        with gankit.full_precision(images):
            return F.conv_transpose2d(images, self.kernel(images), stride=2, padding=1, groups=images.shape[1])


class Downsample(_LowPass):
    """Downsampling by 2 after the low-pass filter."""

    def forward(self, images: Tensor) -> Tensor:
        """[n c 2h 2w] to [n c h w]."""
        with gankit.full_precision(images):
            return F.conv2d(images, self.kernel(images), stride=2, padding=1, groups=images.shape[1])


def activated(images: Tensor, clamp: float | None) -> Tensor:
    """Leaky ReLU without its gain, which the caller has applied, then clamping unless ``clamp`` is None."""
    images = F.leaky_relu(images, SLOPE)
    return images if clamp is None else images.clamp(-clamp, clamp)


def normalized(features: Tensor) -> Tensor:
    """Features [n f] scaled to a mean square of 1 per row."""
    return features * (features.square().mean(dim=1, keepdim=True) + EPSILON).rsqrt()
