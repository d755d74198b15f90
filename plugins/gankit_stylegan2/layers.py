"""What both networks are made of: layers with equalized learning rate, and resampling with the filter [1, 3, 3, 1].

Equalized learning rate (arXiv 1710.10196, sec. 4.1): weights start from N(0, 1) and are scaled where they are used, so
that one learning rate suits layers of all sizes. Leaky ReLUs have a slope of 0.2 and a gain of sqrt(2), which, like any
positive factor, may as well stand before them: it joins the scale.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.2
ACTIVATION_GAIN = math.sqrt(2)
EPSILON = 1e-8


class EqualizedLinear(nn.Module):
    """A fully connected layer, computed in full precision even under autocast.

    Args:
        inputs: features in.
        outputs: features out.
        bias: its initial value.
        learning_rate: multiplier of the learning rate of weight and bias.
        activate: whether a leaky ReLU follows.
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
        """[n inputs] to [n outputs], in the type of the weights."""
        with full_precision(features):
            result = F.linear(
                features.to(self.weight.dtype), self.weight * self.weight_gain, self.bias * self.bias_gain
            )
        return F.leaky_relu(result, SLOPE) if self.activate else result


class EqualizedConv(nn.Module):
    """A convolution that keeps an image's size, or halves it.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: pixels on a side.
        down: whether the image is low-passed and halved.
        activate: whether a bias and a leaky ReLU follow.
        gain: of the result.
        clamp: bound of what is activated.
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
        """[n c h w] to [n outputs h w], or to half the height and width."""
        result: Tensor = self.conv(images if self.blur is None else self.blur(images))
        if self.bias is None:
            return result * self.weight_gain
        bias = (self.bias * self.bias_gain).to(result.dtype)[:, None, None]
        return activated(torch.add(bias, result, alpha=self.weight_gain), self.clamp)


class Blur(nn.Module):
    """The low-pass filter [1, 3, 3, 1] / 8 in both directions, of one channel at a time.

    Args:
        padding: zeros on each side; the result is ``2 * padding - 3`` pixels larger than the image.
    """

    filter: Tensor

    def __init__(self, padding: int) -> None:
        super().__init__()
        self.padding = padding
        self.register_buffer("filter", low_pass(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """[n c h w] to [n c h' w']."""
        return F.conv2d(images, _each(self.filter, images), padding=self.padding, groups=images.shape[1])


class Upsample(nn.Module):
    """Images of twice the size, by zeros between the pixels and the low-pass filter."""

    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", 4 * low_pass(), persistent=False)  # three of four pixels are zeros

    def forward(self, images: Tensor) -> Tensor:
        """[n c h w] to [n c 2h 2w]."""
        weight = _each(self.filter, images)
        with full_precision(images):
            return F.conv_transpose2d(images, weight, stride=2, padding=1, groups=images.shape[1])


class Downsample(nn.Module):
    """Images of half the size, low-passed."""

    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", low_pass(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """[n c 2h 2w] to [n c h w]."""
        weight = _each(self.filter, images)
        with full_precision(images):
            return F.conv2d(images, weight, stride=2, padding=1, groups=images.shape[1])


def low_pass() -> Tensor:
    """The filter [4 4], of sum 1."""
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    return line[:, None] * line


def _each(kernel: Tensor, images: Tensor) -> Tensor:
    """The same kernel for every channel: [c 1 4 4]."""
    return kernel.to(images.dtype).expand(images.shape[1], 1, -1, -1)


def activated(images: Tensor, clamp: float | None) -> Tensor:
    """Leaky ReLU, its gain left to whoever scaled ``images``; then the bound, if there is one."""
    images = F.leaky_relu(images, SLOPE)
    return images if clamp is None else images.clamp(-clamp, clamp)


def normalized(features: Tensor) -> Tensor:
    """[n f], each with a mean square of 1."""
    return features * (features.square().mean(dim=1, keepdim=True) + EPSILON).rsqrt()


def full_precision(tensor: Tensor) -> AbstractContextManager[object]:
    """Where autocast leaves alone what is computed from ``tensor``."""
    kind = tensor.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()
