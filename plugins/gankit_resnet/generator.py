"""The generator. Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``d`` latent dimensions."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

import gankit

from .attention import SelfAttention
from .feature_maps import Widths, feature_maps
from .layers import RESIDUAL_GAIN, BatchNorm, initialized

Upsampling = Literal["nearest", "bilinear"]


class ResNetGenerator(nn.Module):
    """The residual generator of SNGAN (arXiv 1802.05957, appendix B.4) and SAGAN (arXiv 1805.08318).

    For 32x32 images of 3 channels and 128 latent dimensions, the defaults give the network for CIFAR-10: a linear layer
    to 4x4x256, three residual blocks that double the feature map, BatchNorm, ReLU, a 3x3 convolution and tanh;
    4,276,739 parameters, or 4,304,387 with 10 classes. With classes, each class has its own scale and shift in the
    blocks' BatchNorm. For 128x128 images, ``width: 1024`` gives the network for ImageNet. Set ``spectral_norm`` and
    ``attention`` for SAGAN.

    Args:
        image: the images to generate.
        latent_dim: the size d of the latents.
        width: channels of the widest feature map.
        widths: ``constant`` for the same width in all feature maps, as for CIFAR-10; ``pyramid`` to halve the width in
            each of the last doublings, up to four times, as for ImageNet; ``auto`` for ``constant`` up to three
            doublings and ``pyramid`` beyond.
        attention: short sides in pixels of the feature maps after which self-attention follows.
        spectral_norm: divide the weight of each layer by its largest singular value.
        upsampling: of the blocks; ``nearest`` as in the paper, or ``bilinear``.
        batch_norm_epsilon: added to the variances of BatchNorm.

    Raises:
        ValueError: the image size is not a power of two times a small base, or no feature map has a short side given in
            ``attention``.
    """

    def __init__(
        self,
        image: gankit.ImageSpec,
        latent_dim: int,
        *,
        width: PositiveInt = 256,
        widths: Widths = "auto",
        attention: tuple[PositiveInt, ...] = (),
        spectral_norm: bool = False,
        upsampling: Upsampling = "nearest",
        batch_norm_epsilon: PositiveFloat = 1e-5,
    ) -> None:
        super().__init__()
        maps = feature_maps(image, width, widths)
        attended = maps.indices(attention, range(1, len(maps.sizes)))
        self.classes = image.classes
        self.base = maps.sizes[0]
        self.linear = initialized(nn.Linear(latent_dim, self.base[0] * self.base[1] * maps.widths[0]), spectral_norm)
        self.blocks = nn.ModuleList(
            UpBlock(inputs, outputs, image.classes, spectral_norm, index in attended, upsampling, batch_norm_epsilon)
            for index, (inputs, outputs) in enumerate(pairwise(maps.widths), start=1)
        )
        self.norm = BatchNorm(maps.widths[-1], epsilon=batch_norm_epsilon)
        self.to_image = initialized(nn.Conv2d(maps.widths[-1], image.channels, 3, padding=1), spectral_norm)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents [n d] and, with classes, labels [n] (int64) to images [n c h w] in [-1, 1].

        Raises:
            ValueError: the network has classes and ``labels`` is None.
        """
        if self.classes:
            labels = gankit.require_labels(labels, "resnet", self.classes)
        h = self.linear(z).unflatten(1, (*self.base, -1)).permute(0, 3, 1, 2)
        for block in self.blocks:
            h = block(h, labels)
        return torch.tanh(self.to_image(F.relu(self.norm(h), inplace=True)))


class UpBlock(nn.Module):
    """A residual block that doubles the feature map, with a 1x1 convolution as its shortcut."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        classes: int,
        spectral: bool,
        attention: bool,
        upsampling: Upsampling = "nearest",
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        self.upsampling: Upsampling = upsampling
        self.norm1 = BatchNorm(inputs, classes, epsilon)
        self.conv1 = initialized(nn.Conv2d(inputs, outputs, 3, padding=1), spectral, RESIDUAL_GAIN)
        self.norm2 = BatchNorm(outputs, classes, epsilon)
        self.conv2 = initialized(nn.Conv2d(outputs, outputs, 3, padding=1), spectral, RESIDUAL_GAIN)
        self.shortcut = initialized(nn.Conv2d(inputs, outputs, 1), spectral)
        self.attention = SelfAttention(outputs, spectral) if attention else nn.Identity()

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """[n c h w] to [n o 2h 2w]."""
        h = F.relu(self.norm1(x, labels), inplace=True)
        if self.upsampling == "nearest":
            h = gankit.convolve_upsampled(h, self.conv1.weight, self.conv1.bias)
        else:
            h = self.conv1(self._upsampled(h))
        h = F.relu(self.norm2(h, labels), inplace=True)
        # a 1x1 convolution and upsampling commute; this order is cheaper
        x = self._upsampled(self.shortcut(x))
        output: Tensor = self.attention(self.conv2(h) + x)
        return output

    def _upsampled(self, x: Tensor) -> Tensor:
        """[n c h w] to [n c 2h 2w]."""
        return F.interpolate(x, scale_factor=2.0, mode=self.upsampling)
