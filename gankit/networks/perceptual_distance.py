"""A distance of images that follows perception better than that of their pixels.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``k`` channels of a feature map.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import torch
from torch import Tensor, nn

from .efficientnet_lite import load_efficientnet_lite0

Reduction = Literal[2, 4, 8, 16, 32]
"""How many times smaller than the image a feature map of EfficientNet-Lite0 is."""

REDUCTIONS: tuple[Reduction, ...] = (2, 4, 8, 16, 32)
EPSILON = 1e-10  # so that the gradient is finite where all features are zero


class PerceptualDistance(nn.Module):
    """The distance of the feature maps of EfficientNet-Lite0, whose channels are normalized at each position.

    d(x, x0) is the sum over layers of the mean over positions of the squared distance of the normalized features
    (arXiv 1801.03924, eq. 1, with w = 1). It lies between 0 and 4 for each layer. The images are not resized.

    Args:
        wanted_by: the component that needs the network, for error messages.
        layers: the reductions of the feature maps; 2, 4, 8, 16 and 32 have 16, 24, 40, 112 and 320 channels.

    Raises:
        GankitError: timm or the weights are not installed.
    """

    def __init__(self, wanted_by: str, layers: Collection[Reduction] = REDUCTIONS) -> None:
        super().__init__()
        indices = tuple(index for index, reduction in enumerate(REDUCTIONS) if reduction in layers)
        network = load_efficientnet_lite0(wanted_by, features_only=True, out_indices=indices)
        self.network = network.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        """The distance [n] of each image to its partner, differentiable with respect to both.

        Args:
            images: [n c h w] in [-1, 1], with 1 or 3 channels.
            others: of the same shape.

        Raises:
            ValueError: the images have another number of channels, or differ in their shapes.
        """
        if images.shape != others.shape or images.shape[1] not in (1, 3):
            raise ValueError(
                "a perceptual distance needs images [n c h w] of equal shapes with 1 or 3 channels; got "
                f"{list(images.shape)} and {list(others.shape)}"
            )
        pairs = zip(self._features(images), self._features(others), strict=True)
        distances = [(one - other).square().sum(dim=1).mean(dim=(1, 2)) for one, other in pairs]
        return torch.stack(distances).sum(dim=0)

    def _features(self, images: Tensor) -> list[Tensor]:
        """Normalized feature maps [n k h/r w/r], one for each layer of reduction r."""
        images = images.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        maps: list[Tensor] = self.network(images)
        return [map * (map.square().sum(dim=1, keepdim=True) + EPSILON).rsqrt() for map in maps]
