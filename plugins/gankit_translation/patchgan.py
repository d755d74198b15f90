"""Discriminators of image patches.

Shapes: ``n`` images, ``c`` channels of the images, ``s`` channels of the sources, ``h`` height, ``w`` width,
``y`` and ``x`` height and width of the map of logits.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

import gankit

from .layers import Norm, initialize, needs_bias, normalization
from .sizes import require_same_size, source_spec

MIN_INNER_SIDE = 3  # of the feature map after the strided convolutions; two further ones reduce it to 1


class PatchGAN(nn.Module):
    """The PatchGAN of pix2pix (arXiv 1611.07004, sec. 6.1.2) and CycleGAN (arXiv 1703.10593, appendix 7.2).

    It computes a logit for each of many overlapping patches. The defaults give C64-C128-C256-C512, the authors'
    network for patches of 70x70 pixels: 4x4 convolutions, LeakyReLU of slope 0.2, and normalization after all
    convolutions but the first and the last.

    Args:
        image: the images to judge.
        width: channels of the first feature map. Each further convolution doubles the channels, up to ``8 * width``.
        layers: number of convolutions of stride 2; two of stride 1 follow. A patch has 70 pixels on each side for 3,
            34 for 2, 16 for 1, and 286 for 5. 0 is the paper's PixelGAN: 1x1 convolutions judge each pixel by itself.
        norm: ``batch`` as in pix2pix, or ``instance`` as in CycleGAN.

    Raises:
        ValueError: the images are too small for the number of layers.
    """

    def __init__(
        self,
        image: gankit.ImageSpec,
        *,
        width: PositiveInt = 64,
        layers: NonNegativeInt = 3,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        self.layers = patch_layers(image, width, layers, norm, "patchgan")
        self.apply(initialize)

    def forward(self, images: Tensor) -> Tensor:
        """Images [n c h w] in [-1, 1] to a map of logits [n 1 y x]."""
        logits: Tensor = self.layers(images)
        return logits


class ConditionalPatchGAN(nn.Module):
    """The discriminator of pix2pix (arXiv 1611.07004): a `PatchGAN` that judges an image together with its source.

    With 3 channels of both source and image, the defaults give the authors' network: 2,768,705 parameters.

    Args:
        image: the images to judge.
        data: the image and the field ``source``, of the same size.
        width: channels of the first feature map. Each further convolution doubles the channels, up to ``8 * width``.
        layers: number of convolutions of stride 2, which determines the patch size as in `PatchGAN`.
        norm: ``batch`` as in pix2pix, or ``instance``.

    Raises:
        ValueError: the data lacks source images of the size of the image, or the images are too small for the number
            of layers.
    """

    def __init__(
        self,
        image: gankit.ImageSpec,
        data: gankit.DataSpec,
        *,
        width: PositiveInt = 64,
        layers: NonNegativeInt = 3,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        source = source_spec(data, "conditional_patchgan")
        both = replace(image, channels=source.channels + image.channels)
        self.layers = patch_layers(both, width, layers, norm, "conditional_patchgan")
        self.apply(initialize)

    def forward(self, images: Tensor, source: Tensor) -> Tensor:
        """Images [n c h w] and their sources [n s h w], both in [-1, 1], to a map of logits [n 1 y x].

        Raises:
            ValueError: the images and the sources differ in size.
        """
        require_same_size(images.shape[-2:], source.shape[-2:], "conditional_patchgan")
        logits: Tensor = self.layers(torch.cat([source, images], dim=1))  # in the order of the authors' code
        return logits


def patch_layers(image: gankit.ImageSpec, width: int, layers: int, norm: Norm, network: str) -> nn.Sequential:
    """The layers of a `PatchGAN`. Raises: ValueError: the images are too small for the number of layers."""
    require_side(image, layers, network)
    kernel, padding = (4, 1) if layers else (1, 0)
    strides = [2] * layers + [1] if layers else [1, 1]
    modules: list[nn.Module] = []
    inputs = image.channels
    for index, stride in enumerate(strides):
        outputs, normalized = width * min(2**index, 8), index > 0
        bias = needs_bias(norm) or not normalized
        modules.append(nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=bias))
        if normalized:
            modules.append(normalization(norm, outputs))
        modules.append(nn.LeakyReLU(0.2, inplace=True))
        inputs = outputs
    return nn.Sequential(*modules, nn.Conv2d(inputs, 1, kernel, padding=padding))


def require_side(image: gankit.ImageSpec, layers: int, network: str) -> None:
    """Raises: ValueError: the images are too small for the number of layers."""
    short = min(image.height, image.width)
    smallest = MIN_INNER_SIDE * 2**layers
    if layers and short < smallest:
        most = (short // MIN_INNER_SIDE).bit_length() - 1 if short >= MIN_INNER_SIDE else 0
        raise ValueError(
            f"{network} with layers={layers} needs images of at least {smallest} pixels on each side; these are "
            f"{image.height}x{image.width} (height x width): set layers to {most} or less, or use larger images"
        )
