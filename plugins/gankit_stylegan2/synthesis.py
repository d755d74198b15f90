"""The synthesis network: from one style per layer to an image (arXiv 1912.04958, fig. 2c and 7).

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``l`` layers, ``s`` features of a style.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

import gankit

from .feature_maps import FeatureMap
from .layers import ACTIVATION_GAIN, EPSILON, Blur, EqualizedConv, EqualizedLinear, Upsample, activated

Architecture = Literal["skip", "residual", "original"]
Noise = Literal["random", "const", "none"]


class Synthesis(nn.Module):
    """Feature maps from a learned constant up to an image: two layers per size, one at the smallest size.

    Args:
        maps: the feature maps, smallest first.
        channels: channels of the images.
        style_dim: s.
        architecture: ``skip`` sums images of all sizes, ``residual`` sums feature maps, ``original`` does neither.
        clamp: bound of the absolute values of each layer's output.

    Attributes:
        layers: l, the number of styles. The layer that outputs an image uses the style of the next layer.
    """

    def __init__(
        self, maps: Sequence[FeatureMap], channels: int, style_dim: int, architecture: Architecture, clamp: float | None
    ) -> None:
        super().__init__()
        first = maps[0]
        self.layers = 2 * len(maps)
        self.constant = nn.Parameter(torch.randn(1, first.channels, *first.size))
        self.first = StyledLayer(first.channels, first, style_dim, clamp=clamp)
        self.blocks = nn.ModuleList(
            Block(smaller.channels, larger, style_dim, architecture == "residual", clamp)
            for smaller, larger in pairwise(maps)
        )
        with_image = maps if architecture == "skip" else maps[-1:]
        self.to_image = nn.ModuleList(ToImage(fmap.channels, channels, style_dim, clamp) for fmap in with_image)
        self.upsample = Upsample()

    def forward(self, styles: Tensor, noise: Noise = "random") -> Tensor:
        """Styles [n l s] to images [n c h w], not bounded, in the type of the weights."""
        layer_styles = styles.unbind(dim=1)
        features = self.first(self.constant.expand(styles.shape[0], -1, -1, -1), layer_styles[0], noise)
        all_features = [features]
        for number, block in enumerate(self.blocks):
            features = block(features, layer_styles[2 * number + 1], layer_styles[2 * number + 2], noise)
            all_features.append(features)
        first = len(all_features) - len(self.to_image)
        images: Tensor | None = None
        for to_image, features, style in zip(
            self.to_image, all_features[first:], layer_styles[1::2][first:], strict=True
        ):
            image = to_image(features, style)
            images = image if images is None else self.upsample(images) + image
        assert images is not None
        return images


class Block(nn.Module):
    """Two layers, the first of which doubles height and width; with ``residual``, also a shortcut."""

    def __init__(self, inputs: int, output: FeatureMap, style_dim: int, residual: bool, clamp: float | None) -> None:
        super().__init__()
        gain = math.sqrt(0.5) if residual else 1.0
        self.up = StyledLayer(inputs, output, style_dim, up=True, clamp=clamp)
        self.conv = StyledLayer(output.channels, output, style_dim, gain=gain, clamp=clamp)
        skip = (EqualizedConv(inputs, output.channels, 1, activate=False, gain=gain), Upsample())
        self.skip = nn.Sequential(*skip) if residual else None

    def forward(self, features: Tensor, first: Tensor, second: Tensor, noise: Noise) -> Tensor:
        """Features [n c h w] and two styles [n s] to features [n c' 2h 2w]."""
        result: Tensor = self.conv(self.up(features, first, noise), second, noise)
        return result if self.skip is None else result + self.skip(features)


class ModulatedConv(nn.Module):
    """A convolution whose input channels are scaled by a style (arXiv 1912.04958, eq. 1).

    Scaling the input and output channels is equivalent to scaling the weights (sec. 2.2), and lets all images of a
    batch share one convolution. `demodulation` is eq. 3 without the weights' own scale, which cancels.

    Args:
        inputs: input channels.
        outputs: output channels.
        kernel: kernel size in pixels.
        style_dim: s.
        up: whether to double height and width. The output is one pixel larger; the `Blur` that follows removes it.
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
        """Features [n c h w] and scales of their channels [n c] to [n c' h w] or [n c' 2h+1 2w+1]."""
        result: Tensor = self.conv(features * scales.to(features.dtype)[:, :, None, None])
        return result

    def demodulation(self, scales: Tensor) -> Tensor:
        """Factors [n c'] that give each output channel unit variance if the input is white noise."""
        energy = self.conv.weight.square().sum(dim=(2, 3))
        with gankit.full_precision(scales):
            squares = scales.square() @ (energy.t() if self.outputs_first else energy)
        return (squares + EPSILON).rsqrt()


class StyledLayer(nn.Module):
    """A modulated and demodulated convolution, noise, a bias and a leaky ReLU (arXiv 1912.04958, fig. 2d).

    Args:
        inputs: input channels.
        output: the output feature map.
        style_dim: s.
        up: whether to double height and width.
        gain: factor of the output.
        clamp: bound of the output's absolute values, before ``gain``.
    """

    noise: Tensor

    def __init__(
        self,
        inputs: int,
        output: FeatureMap,
        style_dim: int,
        up: bool = False,
        gain: float = 1.0,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, output.channels, 3, style_dim, up)
        self.blur = Blur(padding=1) if up else None
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(output.channels))
        self.register_buffer("noise", torch.randn(1, 1, *output.size))
        self.gain = gain * ACTIVATION_GAIN
        self.clamp = None if clamp is None else clamp * gain

    def forward(self, features: Tensor, style: Tensor, noise: Noise) -> Tensor:
        """Features [n c h w] and a style [n s] to the output feature map."""
        scales = self.conv.affine(style)
        result = self.conv(features, scales)
        factors = self.conv.demodulation(scales) * self.gain
        if self.blur is not None:
            result, factors = self.blur(result), factors * 4  # 3 of 4 input pixels are zeros
        bias = (self.bias * self.gain).to(result.dtype)[:, None, None]
        result = torch.addcmul(bias, result, factors.to(result.dtype)[:, :, None, None])
        if noise != "none":
            kind, (n, _, h, w) = result.dtype, result.shape
            drawn = self.noise if noise == "const" else torch.randn(n, 1, h, w, dtype=kind, device=result.device)
            result = result + drawn.to(kind) * (self.strength * self.gain).to(kind)
        return activated(result, self.clamp)


class ToImage(nn.Module):
    """A modulated 1x1 convolution without demodulation, and a bias."""

    def __init__(self, inputs: int, channels: int, style_dim: int, clamp: float | None) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, channels, 1, style_dim)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.gain = 1 / math.sqrt(inputs)
        self.clamp = clamp

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        """Features [n inputs h w] and a style [n s] to images [n channels h w], in the type of the weights."""
        image: Tensor = self.conv(features, self.conv.affine(style) * self.gain).to(self.bias.dtype)
        image = image + self.bias[:, None, None]
        return image if self.clamp is None else image.clamp(-self.clamp, self.clamp)
