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

from .layers import EPSILON, Downsample, EqualizedConv, EqualizedLinear, full_precision
from .levels import levels
from .mapping import Mapping


class StyleGAN2Discriminator(nn.Module):
    """The discriminator of StyleGAN2 (arXiv 1912.04958): convolutions down to 4 px, with no normalization.

    With its defaults at 32 px it is StyleGAN2-ADA's for CIFAR-10 (arXiv 2006.06676, appendix D): 512 channels at every
    size, no residuals, groups of 32 for the standard deviation; 20,720,641 parameters, with ten classes 23,089,664.
    With ``width: 32, architecture: residual, group_size: 4`` at 1024 px it is StyleGAN2's for faces (config F), with
    29,012,513.

    With classes, the label is mapped to a vector whose product with the image's features is the logit (arXiv
    1802.05637; in this form 2006.06676, official settings).

    Args:
        image: what to judge.
        width: channels of the largest feature map; each smaller one has twice as many.
        max_width: no feature map has more channels.
        architecture: ``residual`` (the paper's choice), ``skip``, or ``original`` (neither); see fig. 7 there.
        group_size: images over which the standard deviation is taken (arXiv 1710.10196, sec. 3): at most so many, as
            divide the batch evenly. These are images of one forward pass: with ``train.microbatch`` or several
            processes, of one part. 0 leaves the standard deviation out.
        mapping_layers: fully connected layers from label to features; without classes, none.
        mapping_learning_rate: multiplier of their learning rate.
        clamp: bound of the absolute value of what each layer makes, for low precision (arXiv 2006.06676: 256).

    Raises:
        ValueError: the image's size is no power of two times a small base.
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
        maps = levels(image, width, max_width)[::-1]
        last = maps[-1]
        seen = maps if architecture == "skip" else maps[:1]
        self.from_image = nn.ModuleList(EqualizedConv(image.channels, level.channels, 1, clamp=clamp) for level in seen)
        self.downsample = Downsample()
        self.blocks = nn.ModuleList(
            Block(level.channels, below.channels, architecture == "residual", clamp) for level, below in pairwise(maps)
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
            ValueError: there are classes and no labels.
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
        direction = self.mapping(None, labels)
        return (outputs * direction).sum(dim=1) / math.sqrt(direction.shape[1])  # type: ignore[no-any-return]


class Block(nn.Module):
    """Two convolutions, of which the second halves the size, and with ``residual`` a way past them."""

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
    """The mean standard deviation of features over a group of images, as a further channel (arXiv 1710.10196, sec. 3).

    Args:
        group_size: images of a group, at most.
    """

    def __init__(self, group_size: int) -> None:
        super().__init__()
        self.group_size = group_size

    def forward(self, features: Tensor) -> Tensor:
        """[n c h w] to [n c+1 h w]."""
        n, _, h, w = features.shape
        size = next(size for size in range(min(self.group_size, n), 0, -1) if n % size == 0)
        with full_precision(features):
            groups = features.to(torch.promote_types(features.dtype, torch.float32)).unflatten(0, (size, n // size))
            variance = (groups - groups.mean(dim=0)).square().mean(dim=0)
            deviation = (variance + EPSILON).sqrt().mean(dim=(1, 2, 3))  # [n / size]
        channel = deviation.to(features.dtype).repeat(size)[:, None, None, None].expand(n, 1, h, w)
        return torch.cat([features, channel], dim=1)
