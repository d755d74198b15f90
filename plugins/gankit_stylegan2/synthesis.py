"""The synthesis network: from styles, one a layer, to an image (arXiv 1912.04958, fig. 2c and 7).

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``l`` layers, ``s`` features of a style.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from .layers import (
    ACTIVATION_GAIN,
    EPSILON,
    Blur,
    EqualizedConv,
    EqualizedLinear,
    Upsample,
    activated,
    full_precision,
)
from .levels import Level

Architecture = Literal["skip", "residual", "original"]
Noise = Literal["random", "const", "none"]


class Synthesis(nn.Module):
    """Feature maps from a learnt constant up to an image; at each size two layers, at the first one.

    Args:
        levels: the feature maps, smallest first.
        channels: of an image.
        style_dim: s.
        architecture: ``skip`` sums images of all sizes, ``residual`` sums feature maps, ``original`` does neither.
        clamp: bound of each layer's output.

    Attributes:
        layers: l, the number of styles; images are made from the style of the layer that follows.
    """

    def __init__(
        self, levels: Sequence[Level], channels: int, style_dim: int, architecture: Architecture, clamp: float | None
    ) -> None:
        super().__init__()
        first = levels[0]
        self.layers = 2 * len(levels)
        self.constant = nn.Parameter(torch.randn(1, first.channels, *first.size))
        self.first = StyledLayer(first.channels, first, style_dim, clamp=clamp)
        self.blocks = nn.ModuleList(
            Block(below.channels, level, style_dim, architecture == "residual", clamp)
            for below, level in pairwise(levels)
        )
        imaged = levels if architecture == "skip" else levels[-1:]
        self.to_image = nn.ModuleList(ToImage(level.channels, channels, style_dim, clamp) for level in imaged)
        self.upsample = Upsample()

    def forward(self, styles: Tensor, noise: Noise = "random") -> Tensor:
        """Styles [n l s] to images [n c h w], in full precision and not bounded."""
        each = styles.unbind(dim=1)
        features = self.first(self.constant.expand(len(styles), -1, -1, -1), each[0], noise)
        steps = [features]
        for number, block in enumerate(self.blocks):
            features = block(features, each[2 * number + 1], each[2 * number + 2], noise)
            steps.append(features)
        skipped = len(steps) - len(self.to_image)
        images: Tensor | None = None
        for to_image, features, style in zip(self.to_image, steps[skipped:], each[1::2][skipped:], strict=True):
            image = to_image(features, style)
            images = image if images is None else self.upsample(images) + image
        assert images is not None
        return images


class Block(nn.Module):
    """Two layers, of which the first doubles the size, and with ``residual`` a way past them."""

    def __init__(self, inputs: int, level: Level, style_dim: int, residual: bool, clamp: float | None) -> None:
        super().__init__()
        gain = math.sqrt(0.5) if residual else 1.0
        self.up = StyledLayer(inputs, level, style_dim, up=True, clamp=clamp)
        self.conv = StyledLayer(level.channels, level, style_dim, gain=gain, clamp=clamp)
        skip = (EqualizedConv(inputs, level.channels, 1, activate=False, gain=gain), Upsample())
        self.skip = nn.Sequential(*skip) if residual else None

    def forward(self, features: Tensor, first: Tensor, second: Tensor, noise: Noise) -> Tensor:
        """[n c h w] and two styles [n s] to [n c' 2h 2w]."""
        result: Tensor = self.conv(self.up(features, first, noise), second, noise)
        return result if self.skip is None else result + self.skip(features)


class ModulatedConv(nn.Module):
    """A convolution whose input channels are scaled by a style (arXiv 1912.04958, eq. 1).

    Scaling what goes in and what comes out instead of the weights is the same (sec. 2.2 there), and lets all images of
    a batch share one convolution. `demodulation` is eq. 3, without the weights' own scale, which cancels.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: pixels on a side.
        style_dim: s.
        up: whether the image is doubled: to one pixel more, which the blur that must follow takes away.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, style_dim: int, up: bool = False) -> None:
        super().__init__()
        self.affine = EqualizedLinear(style_dim, inputs, bias=1.0)
        self.conv: nn.Conv2d | nn.ConvTranspose2d
        if up:
            self.conv = nn.ConvTranspose2d(inputs, outputs, kernel, stride=2, bias=False)
        else:
            self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        nn.init.normal_(self.conv.weight)
        self.outputs_first = not up

    def forward(self, features: Tensor, scales: Tensor) -> Tensor:
        """[n c h w] and the scales [n c] of its channels to [n c' h w], or twice as large and one pixel more."""
        result: Tensor = self.conv(features * scales.to(features.dtype)[:, :, None, None])
        return result

    def demodulation(self, scales: Tensor) -> Tensor:
        """The factors [n c'] that bring each output of white noise to unit variance."""
        energy = self.conv.weight.square().sum(dim=(2, 3))
        with full_precision(scales):
            squares = scales.square() @ (energy.t() if self.outputs_first else energy)
        return (squares + EPSILON).rsqrt()


class StyledLayer(nn.Module):
    """A modulated and demodulated convolution, noise, a bias and a leaky ReLU (arXiv 1912.04958, fig. 2d).

    Args:
        inputs: channels in.
        level: the feature map that it makes.
        style_dim: s.
        up: whether it doubles the size.
        gain: of the result.
        clamp: bound of the result.
    """

    noise: Tensor

    def __init__(
        self,
        inputs: int,
        level: Level,
        style_dim: int,
        up: bool = False,
        gain: float = 1.0,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, level.channels, 3, style_dim, up)
        self.blur = Blur(padding=1) if up else None
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(level.channels))
        self.register_buffer("noise", torch.randn(1, 1, *level.size))
        self.gain = gain * ACTIVATION_GAIN
        self.clamp = None if clamp is None else clamp * gain

    def forward(self, features: Tensor, style: Tensor, noise: Noise) -> Tensor:
        """[n c h w] and a style [n s] to the level's feature map."""
        scales = self.conv.affine(style)
        result = self.conv(features, scales)
        factors = self.conv.demodulation(scales) * self.gain
        if self.blur is not None:
            result, factors = self.blur(result), factors * 4  # three of four pixels were zeros
        bias = (self.bias * self.gain).to(result.dtype)[:, None, None]
        result = torch.addcmul(bias, result, factors.to(result.dtype)[:, :, None, None])
        if noise != "none":
            kind, (n, _, h, w) = result.dtype, result.shape
            drawn = self.noise if noise == "const" else torch.randn(n, 1, h, w, dtype=kind, device=result.device)
            result = result + drawn.to(kind) * (self.strength * self.gain).to(kind)
        return activated(result, self.clamp)


class ToImage(nn.Module):
    """A modulated convolution of one pixel, not demodulated, and a bias."""

    def __init__(self, inputs: int, channels: int, style_dim: int, clamp: float | None) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, channels, 1, style_dim)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.gain = 1 / math.sqrt(inputs)
        self.clamp = clamp

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        """[n c h w] and a style [n s] to images [n channels h w], in the type of the weights."""
        image: Tensor = self.conv(features, self.conv.affine(style) * self.gain).to(self.bias.dtype)
        image = image + self.bias[:, None, None]
        return image if self.clamp is None else image.clamp(-self.clamp, self.clamp)
