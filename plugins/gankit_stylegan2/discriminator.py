"""The discriminator of StyleGAN2.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``f`` features.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

import gankit

from .feature_maps import feature_maps
from .layers import EPSILON, Downsample, EqualizedConv, EqualizedLinear
from .mapping import Mapping


class StyleGAN2Discriminator(nn.Module):
    """The discriminator of StyleGAN2 (arXiv 1912.04958): convolutions without normalization from an image to a logit.

    For 32x32 images, the defaults give StyleGAN2-ADA's network for CIFAR-10 (arXiv 2006.06676, appendix D): 512
    channels in all feature maps, no residual connections, minibatch standard deviation in groups of 32; 20,720,641
    parameters, or 23,089,664 with ten classes. For 1024x1024 images, ``width: 32, architecture: residual, group_size:
    4`` gives StyleGAN2's network for faces (config F) with 29,012,513 parameters.

    With classes, a mapping network maps the label to a vector, and the logit is the dot product of this vector and the
    image's features (arXiv 1802.05637; this form is that of arXiv 2006.06676's official code).

    Args:
        image: the input images.
        width: channels of the largest feature map; each smaller one has twice as many.
        max_width: largest number of channels.
        architecture: ``residual`` (the paper's choice), ``skip``, or ``original`` (neither); see the paper's fig. 7.
        group_size: number of images over which the minibatch standard deviation is computed (arXiv 1710.10196, sec. 3):
            the largest divisor of the batch size up to this number. The batch is that of one forward pass, so
            ``train.microbatch`` and several processes make it smaller. 0 for no minibatch standard deviation.
        mapping_layers: fully connected layers of the mapping network; used with classes.
        mapping_learning_rate: factor of the mapping network's learning rate.
        clamp: bound of the absolute values of each layer's output, for low precision (arXiv 2006.06676: 256).

    Raises:
        ValueError: the image size is not a power of two times a small base.
    """

    def __init__(
        self,
        image: gankit.ImageSpec,
        *,
        width: PositiveInt = 512,
        max_width: PositiveInt = 512,
        architecture: Literal["residual", "skip", "original"] = "original",
        group_size: NonNegativeInt = 32,
        mapping_layers: PositiveInt = 8,
        mapping_learning_rate: PositiveFloat = 0.01,
        clamp: PositiveFloat | None = None,
    ) -> None:
        super().__init__()
        maps = feature_maps(image, width, max_width)[::-1]
        last = maps[-1]
        with_image = maps if architecture == "skip" else maps[:1]
        self.from_image = nn.ModuleList(
            EqualizedConv(image.channels, fmap.channels, 1, clamp=clamp) for fmap in with_image
        )
        self.downsample = Downsample()
        self.blocks = nn.ModuleList(
            Block(larger.channels, smaller.channels, architecture == "residual", clamp)
            for larger, smaller in pairwise(maps)
        )
        self.deviation = MinibatchDeviation(group_size) if group_size else None
        self.conv = EqualizedConv(last.channels + bool(group_size), last.channels, 3, clamp=clamp)
        self.dense = EqualizedLinear(last.channels * math.prod(last.size), last.channels, activate=True)
        self.logit = EqualizedLinear(last.channels, last.channels if image.classes else 1)
        self.mapping: Mapping | None = None
        if image.classes:
            self.mapping = Mapping(0, image.classes, last.channels, mapping_layers, mapping_learning_rate)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images [n c h w] in [-1, 1] and, with classes, labels [n] (int64) to logits [n].

        Raises:
            ValueError: the network has classes and ``labels`` is None.
        """
        features: Tensor = self.from_image[0](images)
        for number, block in enumerate(self.blocks, 1):
            features = block(features)
            if number < len(self.from_image):
                images = self.downsample(images)
                features = features + self.from_image[number](images)
        if self.deviation is not None:
            features = self.deviation(features)
        outputs = self.logit(self.dense(self.conv(features).flatten(1)))
        if self.mapping is None:
            return outputs.squeeze(1)  # type: ignore[no-any-return]
        label_features = self.mapping(None, labels)
        return (outputs * label_features).sum(dim=1) / math.sqrt(label_features.shape[1])  # type: ignore[no-any-return]


class Block(nn.Module):
    """Two convolutions, the second of which halves height and width; with ``residual``, also a shortcut."""

    def __init__(self, inputs: int, outputs: int, residual: bool, clamp: float | None) -> None:
        super().__init__()
        gain = math.sqrt(0.5) if residual else 1.0
        self.conv = EqualizedConv(inputs, inputs, 3, clamp=clamp)
        self.down = EqualizedConv(inputs, outputs, 3, down=True, gain=gain, clamp=clamp)
        self.skip = EqualizedConv(inputs, outputs, 1, down=True, activate=False, gain=gain) if residual else None

    def forward(self, features: Tensor) -> Tensor:
        """[n c h w] to [n c' h/2 w/2]."""
        result: Tensor = self.down(self.conv(features))
        return result if self.skip is None else result + self.skip(features)


class MinibatchDeviation(nn.Module):
    """Appends the mean standard deviation of features over a group of images as a channel (arXiv 1710.10196, sec. 3).

    Args:
        group_size: largest number of images in a group.
    """

    def __init__(self, group_size: int) -> None:
        super().__init__()
        self.group_size = group_size

    def forward(self, features: Tensor) -> Tensor:
        """[n c h w] to [n c+1 h w]."""
        n, _, h, w = features.shape
        size = next(size for size in range(min(self.group_size, n), 0, -1) if n % size == 0)
        with gankit.full_precision(features):
            groups = features.to(torch.promote_types(features.dtype, torch.float32)).unflatten(0, (size, n // size))
            variance = (groups - groups.mean(dim=0)).square().mean(dim=0)
            deviation = (variance + EPSILON).sqrt().mean(dim=(1, 2, 3))  # [n / size]
        channel = deviation.to(features.dtype).repeat(size)[:, None, None, None].expand(n, 1, h, w)
        return torch.cat([features, channel], dim=1)
