"""RRDBNet, the generator of ESRGAN and Real-ESRGAN.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``k`` channels of the source, ``f`` features.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

import gankit

from .upscaling import doublings_from_source

RESIDUAL_SCALE = 0.2  # beta in the paper
INITIAL_SCALE = 0.1
SLOPE = 0.2  # of LeakyReLU
CONVOLUTIONS = 5  # in a dense block
DENSE_BLOCKS = 3  # in a residual-in-residual dense block


class RRDBNet(nn.Module):
    """RRDBNet, the generator of ESRGAN (arXiv 1809.00219, sec. 3.1) and Real-ESRGAN (arXiv 2107.10833).

    It enlarges the field ``source`` of the data by 1, 2, 4 or 8, which is the ratio of the sizes of the image and the
    source: a convolution, residual-in-residual dense blocks without normalization, a skip connection over all of them,
    nearest-neighbor upsampling and a convolution for each doubling, and two convolutions. All are 3x3. For a factor of
    4 and 3 channels, the defaults have 16,697,987 parameters, as in the paper's network.

    The paper's network does not bound its output, and neither does this one: its images are about in [-1, 1].

    The convolutions of the dense blocks start with weights of Kaiming's normal initialization times 0.1, and biases of
    0 ("smaller initialization", sec. 3.1). Other layers have torch's default.

    The network is fully convolutional: a trained one enlarges sources of any size.

    Args:
        data: the images to generate, and the ``source``.
        width: f, the channels of all feature maps between dense blocks.
        blocks: number of residual-in-residual dense blocks, of three dense blocks each.
        growth: channels of each of the first four convolutions of a dense block.

    Raises:
        ValueError: the data has no ``source``, or the images are not 1, 2, 4 or 8 times as large as it.
    """

    size_multiple: ClassVar[int] = 1

    def __init__(
        self, data: gankit.DataSpec, *, width: PositiveInt = 64, blocks: PositiveInt = 23, growth: PositiveInt = 32
    ) -> None:
        super().__init__()
        doublings = doublings_from_source(data, "rrdbnet")
        source = data["source"]
        assert isinstance(source, gankit.ImageSpec)
        self.first = _conv(source.channels, width)
        self.blocks = nn.Sequential(*(ResidualInResidual(width, growth) for _ in range(blocks)))
        self.body_end = _conv(width, width)
        self.upsample = nn.ModuleList(_conv(width, width) for _ in range(doublings))
        self.second_to_last = _conv(width, width)
        self.last = _conv(width, data.image.channels)

    def forward(self, source: Tensor) -> Tensor:
        """A source [n k h/s w/s] in [-1, 1] to images [n c h w] in about [-1, 1], where s is the factor."""
        features = self.first(source)
        features = features + self.body_end(self.blocks(features))
        for convolution in self.upsample:
            features = _leaky(convolution(F.interpolate(features, scale_factor=2, mode="nearest")))
        images: Tensor = self.last(_leaky(self.second_to_last(features)))
        return images


class ResidualInResidual(nn.Module):
    """Three dense blocks, whose output is scaled by 0.2 and added to the input (fig. 4 of the paper)."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(DenseBlock(width, growth) for _ in range(DENSE_BLOCKS)))

    def forward(self, features: Tensor) -> Tensor:
        """[n f h w] to the same shape."""
        residual: Tensor = self.blocks(features)
        return features + RESIDUAL_SCALE * residual


class DenseBlock(nn.Module):
    """Five convolutions, each of the input and the outputs of all earlier ones; scaled by 0.2 and added to the input.

    A LeakyReLU of slope 0.2 follows all but the last one.
    """

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        outputs = [growth] * (CONVOLUTIONS - 1) + [width]
        convolutions = [_conv(width + i * growth, output) for i, output in enumerate(outputs)]
        for convolution in convolutions:
            nn.init.kaiming_normal_(convolution.weight)
            with torch.no_grad():
                convolution.weight.mul_(INITIAL_SCALE)
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]  # it has one
        self.convolutions = nn.ModuleList(convolutions)

    def forward(self, features: Tensor) -> Tensor:
        """[n f h w] to the same shape."""
        *growing, last = self.convolutions
        dense = features
        for convolution in growing:
            dense = torch.cat([dense, _leaky(convolution(dense))], dim=1)
        residual: Tensor = last(dense)
        return features + RESIDUAL_SCALE * residual


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)


def _leaky(features: Tensor) -> Tensor:
    return F.leaky_relu(features, SLOPE, inplace=True)
