"""The discriminator of Real-ESRGAN.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width.
"""

from __future__ import annotations

from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

import gankit

from .image_size import nearest_multiples

HALVINGS = 3
PATCH = 2**HALVINGS


class UNetDiscriminator(nn.Module):
    """The discriminator of Real-ESRGAN (arXiv 2107.10833, sec. 3.4): a U-Net with a logit for each pixel.

    Three convolutions of stride 2 halve the image and double the channels. Three steps of bilinear upsampling and a
    convolution enlarge it again, each followed by adding the feature map of that size from the way down. All layers but
    the first and the last have spectral normalization and no bias, and all but the last are followed by LeakyReLU of
    slope 0.2. For 3 channels, the defaults have 4,376,897 parameters, as in the authors' network.

    The network is fully convolutional.

    Args:
        image: the input images.
        width: channels of the largest feature map; each smaller one has twice as many.

    Raises:
        ValueError: height or width is not a multiple of 8.
    """

    def __init__(self, image: gankit.ImageSpec, *, width: PositiveInt = 64) -> None:
        super().__init__()
        _require_multiple(image)
        levels = range(HALVINGS)
        self.first = nn.Conv2d(image.channels, width, kernel_size=3, padding=1)
        self.down = nn.ModuleList(
            _normalized(width << level, width << level + 1, kernel_size=4, stride=2) for level in levels
        )
        self.up = nn.ModuleList(_normalized(width << level + 1, width << level) for level in reversed(levels))
        self.refine = nn.ModuleList(_normalized(width, width) for _ in range(2))
        self.last = nn.Conv2d(width, 1, kernel_size=3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Images [n c h w] in [-1, 1] to logits [n 1 h w]."""
        features = _leaky(self.first(images))
        larger = []
        for convolution in self.down:
            larger.append(features)
            features = _leaky(convolution(features))
        for convolution in self.up:
            features = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
            features = _leaky(convolution(features)) + larger.pop()
        for convolution in self.refine:
            features = _leaky(convolution(features))
        logits: Tensor = self.last(features)
        return logits


def _normalized(inputs: int, outputs: int, kernel_size: int = 3, stride: int = 1) -> nn.Module:
    """A convolution with spectral normalization and without bias."""
    return spectral_norm(nn.Conv2d(inputs, outputs, kernel_size, stride, padding=1, bias=False))


def _leaky(features: Tensor) -> Tensor:
    return F.leaky_relu(features, 0.2, inplace=True)


def _require_multiple(image: gankit.ImageSpec) -> None:
    """Raises: ValueError: the image cannot be halved three times."""
    size = image.height, image.width
    if any(side % PATCH for side in size):
        raise ValueError(
            f"unet_discriminator cannot judge images of {size[0]}x{size[1]} (height x width): both sides must be "
            f"multiples of {PATCH}; the nearest sizes that work are {nearest_multiples(size, PATCH)}"
        )
