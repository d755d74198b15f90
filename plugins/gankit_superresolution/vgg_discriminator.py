"""The discriminator of SRGAN.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width.
"""

from __future__ import annotations

import math

from pydantic import PositiveInt
from torch import Tensor, nn

import gankit

MAX_MULTIPLE = 8  # of the width
DENSE_MULTIPLE = 16


class VGGDiscriminator(nn.Module):
    """The discriminator of SRGAN (arXiv 1609.04802, fig. 4): 3x3 convolutions like those of VGG, then a dense network.

    Each stage has a convolution of stride 1 and one of stride 2. The number of channels doubles from stage to stage, up
    to 8 times the width. BatchNorm follows all convolutions but the first, and LeakyReLU of slope 0.2 all layers but
    the last. The image is halved until its short side has 4 to 7 pixels: 4 times for the paper's patches of 96x96
    pixels, where the defaults give the paper's network, of 23,563,649 parameters with 3 channels. Larger images have
    further stages of 8 times the width, so that the dense layer does not grow with them.

    With BatchNorm, a logit depends on the other images of the batch. Convolutions before BatchNorm have no bias.

    Args:
        image: the input images.
        width: channels of the first stage; the hidden dense layer has 16 times as many units.

    Raises:
        ValueError: the image size is not a power of two times a small base.
    """

    def __init__(self, image: gankit.ImageSpec, *, width: PositiveInt = 64) -> None:
        super().__init__()
        base, *larger = gankit.ImagePyramid("vgg_discriminator").sizes(image)
        layers: list[nn.Module] = []
        channels = image.channels
        for stage in range(len(larger)):
            outputs = width * min(2**stage, MAX_MULTIPLE)
            for inputs, stride in ((channels, 1), (outputs, 2)):
                layers += _convolution(inputs, outputs, stride, normalized=bool(layers))
            channels = outputs
        self.layers = nn.Sequential(*layers)
        self.dense = nn.Sequential(
            nn.Linear(channels * math.prod(base), DENSE_MULTIPLE * width),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Linear(DENSE_MULTIPLE * width, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images [n c h w] in [-1, 1] to logits [n 1]."""
        logits: Tensor = self.dense(self.layers(images).flatten(1))
        return logits


def _convolution(inputs: int, outputs: int, stride: int, normalized: bool) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=not normalized)
    norm = [nn.BatchNorm2d(outputs)] if normalized else []
    return [convolution, *norm, nn.LeakyReLU(0.2, inplace=True)]
