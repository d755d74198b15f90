"""CLIP features, of a network that was trained on images and their captions."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

import gankit

from .frozen_extractor import extract, fingerprint, freeze
from .transformer_images import RESIZED, standardized

NAME = "features 'clip'"
Model = Literal[  # OpenAI trained with QuickGELU; timm's variants without it have the same weights, but other features
    "vit_base_patch32_clip_quickgelu_224.openai",
    "vit_base_patch16_clip_quickgelu_224.openai",
    "vit_large_patch14_clip_quickgelu_224.openai",
    "vit_large_patch14_clip_quickgelu_336.openai",
]


class CLIP:
    """The image embedding of OpenAI's CLIP (arXiv 2103.00020), normalized to length 1: 768 features with ViT-L/14.

    By default, these are the features of CMMD (arXiv 2401.09603). As in its reference code, images are cropped to a
    square at the center, and resized.

    Args:
        model: the network in timm.
        weights: path of its weights, safetensors or a state dict of PyTorch; downloaded (1.2 GB) by default.

    Raises:
        gankit.GankitError: the weights are missing, or belong to another network.
    """

    def __init__(
        self, *, model: Model = "vit_large_patch14_clip_quickgelu_336.openai", weights: Path | None = None
    ) -> None:
        self._network = freeze(gankit.load_vision_transformer(model, weights, NAME))
        self.hash = fingerprint(self._network)
        side = self._network.patch_embed.img_size[0]  # type: ignore[index,union-attr]
        self.resizer = f"cropped to a square at the center; {RESIZED} to {side} x {side}"

    def __call__(self, images: Tensor) -> Tensor:
        """Images uint8 [n c h w], with 1 or 3 channels, to features [n f], float32. Raises: ValueError."""
        return extract(self._network, self._features, images)

    def _features(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = images[..., top : top + side, left : left + side]
        return F.normalize(self._network(standardized(square, self._network)), dim=1)
