"""The perceptual loss: generated images should have the features of their targets.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt
from torch import Tensor, nn

import gankit

NAME = "regularizer 'perceptual'"
Weight = Annotated[gankit.Scheduled, Field(ge=0)]
Layers = Annotated[tuple[gankit.Reduction, ...], Field(min_length=1)]


class Perceptual(nn.Module):
    """Perceptual loss of G: the mean distance of the features of generated images to those of their targets.

    The features are feature maps of EfficientNet-Lite0 trained on ImageNet, whose channels are normalized at each
    position (`gankit.PerceptualDistance`; arXiv 1801.03924, eq. 1, with w = 1). The network is never trained. The
    metric ``perceptual_distance`` uses the same features: do not compare models by it if only some of them were trained
    with this loss.

    Args:
        weight: of the distance.
        layers: which feature maps, by the factor that they are smaller than the image.
        target: the field of the data with the targets; ``image`` is the real image.
        interval: turns of G between applications.

    Raises:
        gankit.GankitError: timm or the weights are not installed.
    """

    def __init__(
        self,
        *,
        weight: Weight = 1.0,
        layers: Layers = (2, 4, 8, 16, 32),
        target: str = "image",
        interval: PositiveInt = 1,
    ) -> None:
        super().__init__()
        self.weight, self.target, self.interval = weight, target, interval
        self.distance = gankit.Frozen(gankit.PerceptualDistance(NAME, layers))

    def fits(self, generator: nn.Module, output: object, image: gankit.ImageSpec) -> None:
        """Raises: ValueError: the images have neither 1 nor 3 channels."""
        if image.channels not in (1, 3):
            raise ValueError(
                f"perceptual needs images of 3 channels, or of 1 channel, which is repeated; these have "
                f"{image.channels}: convert them to RGB, or train without a codec"
            )

    def generator(self, turn: gankit.Turn) -> Tensor:
        target = turn[self.target]
        if target.shape != turn.fake.shape:
            raise gankit.GankitError(
                f"{NAME}: the field {self.target!r} is {list(target.shape)}, but the generated images are "
                f"{list(turn.fake.shape)}; choose a target of their size and channels"
            )
        distances: Tensor = self.distance(turn.fake, target)
        return self.weight * distances.mean()
