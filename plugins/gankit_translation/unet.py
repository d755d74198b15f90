"""The U-Net of pix2pix.

Shapes: ``n`` images, ``c`` channels of the images, ``s`` channels of the sources, ``h`` height, ``w`` width.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

import gankit

from .layers import Norm, initialize, needs_bias, normalization
from .sizes import require_multiple, source_spec

MAX_HALVINGS = 8  # of the published network, from 256 px to 1 px
PYRAMID = gankit.ImagePyramid("unet", max_aspect_ratio=None)


class UNet(nn.Module):
    """The generator of pix2pix (arXiv 1611.07004, sec. 6.1.1): an encoder and a decoder with skip connections.

    Each layer of the encoder halves the feature map with a 4x4 convolution of stride 2, each layer of the decoder
    doubles it with a transposed one. A layer of the decoder also receives the encoder's feature map of the same size.

    For 256x256 images with 3 channels of both source and image, the defaults give the network of the authors' PyTorch
    code: C64-C128-C256-C512-C512-C512-C512-C512 and its mirror image, LeakyReLU of slope 0.2 in the encoder and ReLU
    in the decoder, and 54,413,955 parameters. As in that code, the innermost feature map is not normalized, and dropout
    follows the decoder layers from ``8 * width`` to ``8 * width`` channels except the innermost layer. These are three
    layers at 256 px. The paper's text lists dropout in the first three layers, which include the innermost.

    The paper also keeps dropout active at test time, as its only noise. Here, dropout is active in training only:
    samples are generated in eval mode, and an image depends on its source alone.

    Args:
        data: the image and the field ``source``, of the same size.
        width: channels of the largest feature map. Each halving doubles the channels, up to ``8 * width``.
        norm: ``batch`` as in the paper, or ``instance``. With ``batch``, samples are normalized with running averages.
            In training with very small batches, the statistics of a batch differ from these; ``instance`` has no such
            difference.
        dropout: probability of dropout in training; 0.5 in the paper.
        depth: number of halvings. By default, both sides are halved as long as they are even, at most 8 times: from 256
            to 1 pixel, or from 96 to 3.

    Attributes:
        size_multiple: height and width of sources that are larger than in training are multiples of it. None if the
            innermost feature map has one pixel in height or width: such a network translates only the size that it
            was trained with.

    Raises:
        ValueError: the data lacks source images of the size of the image; or the size is not a multiple of
            ``2**depth`` or, by default, not a power of two times a small base.
    """

    def __init__(
        self,
        data: gankit.DataSpec,
        *,
        width: PositiveInt = 64,
        norm: Norm = "batch",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        depth: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        source = source_spec(data, "unet")
        self.depth = default_depth(data.image) if depth is None else depth
        inner = min(data.image.height, data.image.width) >> self.depth
        # an innermost map of one pixel never sees its neighbors in training, and fails where it has some
        self.size_multiple: int | None = None if inner == 1 else 2**self.depth
        self.require_size(data.image.height, data.image.width)
        widths = [width * min(2**halvings, 8) for halvings in range(self.depth)]
        bias, innermost = needs_bias(norm), self.depth - 1
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        for level, (inputs, outputs) in enumerate(pairwise([source.channels, *widths])):
            inner_norm = norm if level < innermost else None
            self.encoder.append(halving_layer(inputs, outputs, bias, inner_norm, first=level == 0))
        for level, (outputs, inputs) in reversed([*enumerate(pairwise([data.image.channels, *widths]))]):
            skipped = 0 if level == innermost else inputs  # channels of the encoder's feature map
            layers = doubling_layer(inputs + skipped, outputs, bias, norm, last=level == 0)
            if level < innermost and inputs == outputs == 8 * width:
                layers.append(nn.Dropout(dropout))
            self.decoder.append(nn.Sequential(*layers))
        self.apply(initialize)

    def forward(self, source: Tensor) -> Tensor:
        """Source images [n s h w] in [-1, 1] to images [n c h w] in [-1, 1].

        Raises:
            ValueError: the height or width is not a multiple of ``2**depth``.
        """
        self.require_size(*source.shape[-2:])
        features, skips = source, []
        for layer in self.encoder:
            features = layer(features)
            skips.append(features)
        skips.pop()  # the innermost feature map is the decoder's input
        for layer in self.decoder:
            features = layer(features)
            if skips:
                features = torch.cat([skips.pop(), features], dim=1)
        return features

    def require_size(self, height: int, width: int) -> None:
        """Raises: ValueError: the height or width is not a multiple of ``2**depth``."""
        factor = 2**self.depth
        require_multiple((height, width), factor, factor, f"unet with depth {self.depth}")


def halving_layer(inputs: int, outputs: int, bias: bool, norm: Norm | None, first: bool) -> nn.Sequential:
    """A layer of the encoder. The first one has neither an activation before it nor normalization."""
    convolution = nn.Conv2d(inputs, outputs, kernel_size=4, stride=2, padding=1, bias=bias)
    if first:
        return nn.Sequential(convolution)
    activation = nn.LeakyReLU(0.2)  # not in place: the decoder needs its input
    return nn.Sequential(activation, convolution, *([] if norm is None else [normalization(norm, outputs)]))


def doubling_layer(inputs: int, outputs: int, bias: bool, norm: Norm, last: bool) -> list[nn.Module]:
    """A layer of the decoder. The last one ends with tanh instead of normalization."""
    convolution = nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1, bias=bias or last)
    return [nn.ReLU(inplace=True), convolution, nn.Tanh() if last else normalization(norm, outputs)]


def default_depth(image: gankit.ImageSpec) -> int:
    """How often both sides of the image can be halved, at most 8 times.

    Raises:
        ValueError: the image size is not a power of two times a small base.
    """
    depth = 0
    while depth < MAX_HALVINGS and image.height % 2 ** (depth + 1) == image.width % 2 ** (depth + 1) == 0:
        depth += 1
    if depth < MAX_HALVINGS:
        PYRAMID.sizes(image)
    return depth
