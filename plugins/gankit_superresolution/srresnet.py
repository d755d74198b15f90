"""SRResNet, the generator of SRGAN.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``k`` channels of the source, ``f`` features.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import PositiveInt
from torch import Tensor, nn

import gankit

from .upscaling import doublings_from_source

Norm = Literal["batch", "none"]


class SRResNet(nn.Module):
    """SRResNet, the generator of SRGAN (arXiv 1609.04802, sec. 2.1 and fig. 4).

    It enlarges the field ``source`` of the data by 1, 2, 4 or 8, which is the ratio of the sizes of the image and the
    source: a 9x9 convolution, residual blocks, a skip connection over all of them, sub-pixel convolutions (arXiv
    1609.05158) that double the size, and a 9x9 convolution. For a factor of 4 and 3 channels, the defaults have
    1,547,350 parameters.

    As in figure 4, there is no tanh at the end, so images are only about in [-1, 1]. The paper does not describe biases
    and slopes: here, convolutions before BatchNorm have no bias, which BatchNorm would cancel, and a PReLU has one
    slope for all channels. Weights start with torch's default.

    The network is fully convolutional: a trained one enlarges sources of any size.

    Args:
        data: the images to generate, and the ``source``.
        width: f, the channels of all feature maps.
        blocks: number of residual blocks.
        norm: ``batch`` for BatchNorm as in the paper, or ``none``. ESRGAN (arXiv 1809.00219, sec. 3.1) removes it,
            because it causes artifacts.

    Raises:
        ValueError: the data has no ``source``, or the images are not 1, 2, 4 or 8 times as large as it.
    """

    size_multiple: ClassVar[int] = 1

    def __init__(
        self, data: gankit.DataSpec, *, width: PositiveInt = 64, blocks: PositiveInt = 16, norm: Norm = "batch"
    ) -> None:
        super().__init__()
        doublings = doublings_from_source(data, "srresnet")
        source = data["source"]
        assert isinstance(source, gankit.ImageSpec)
        self.first = nn.Sequential(nn.Conv2d(source.channels, width, kernel_size=9, padding=4), nn.PReLU())
        self.blocks = nn.Sequential(*(ResidualBlock(width, norm) for _ in range(blocks)))
        self.body_end = nn.Sequential(*convolution(width, norm))
        self.upsample = nn.Sequential(*(SubPixelConv(width) for _ in range(doublings)))
        self.last = nn.Conv2d(width, data.image.channels, kernel_size=9, padding=4)

    def forward(self, source: Tensor) -> Tensor:
        """A source [n k h/s w/s] in [-1, 1] to images [n c h w] in about [-1, 1], where s is the factor."""
        features = self.first(source)
        features = features + self.body_end(self.blocks(features))
        images: Tensor = self.last(self.upsample(features))
        return images


class ResidualBlock(nn.Module):
    """A residual block of two 3x3 convolutions with a PReLU between them and none after the sum."""

    def __init__(self, width: int, norm: Norm) -> None:
        super().__init__()
        self.layers = nn.Sequential(*convolution(width, norm), nn.PReLU(), *convolution(width, norm))

    def forward(self, features: Tensor) -> Tensor:
        """[n f h w] to the same shape."""
        residual: Tensor = self.layers(features)
        return features + residual


class SubPixelConv(nn.Sequential):
    """Doubles height and width: a convolution to four times the channels, which become 2x2 pixels; then a PReLU."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Conv2d(width, 4 * width, kernel_size=3, padding=1), nn.PixelShuffle(2), nn.PReLU())


def convolution(width: int, norm: Norm) -> list[nn.Module]:
    """A 3x3 convolution and, with ``batch``, BatchNorm."""
    layer = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=norm == "none")
    return [layer, nn.BatchNorm2d(width)] if norm == "batch" else [layer]
