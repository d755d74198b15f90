"""DINOv2 features, of a network that was trained without labels."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gankit

from .frozen_extractor import extract, fingerprint, freeze
from .transformer_images import RESIZED, standardized

NAME = "features 'dinov2'"
SIZE = 224
Model = Literal[
    "vit_small_patch14_dinov2.lvd142m",
    "vit_base_patch14_dinov2.lvd142m",
    "vit_large_patch14_dinov2.lvd142m",
    "vit_giant_patch14_dinov2.lvd142m",
]


class DINOv2:
    """The class token of DINOv2 after the final normalization: 1024 features with ViT-L/14 (arXiv 2304.07193).

    Images are resized and standardized as in the evaluation of arXiv 2306.04675, which recommends ViT-L/14 for the
    Fréchet distance. Images that are not square are distorted.

    Args:
        model: the network in timm.
        weights: path of its weights, safetensors or a state dict of PyTorch; downloaded (1.2 GB) by default.

    Raises:
        gankit.GankitError: the weights are missing, or belong to another network.
    """

    resizer = f"{RESIZED} to {SIZE} x {SIZE}; nothing is cropped"

    def __init__(self, *, model: Model = "vit_large_patch14_dinov2.lvd142m", weights: Path | None = None) -> None:
        network: Any = gankit.load_vision_transformer(model, weights, NAME)
        self.hash = fingerprint(network)  # of the file: the last bits of an interpolation depend on the machine
        positions = interpolate_positions(network.pos_embed.detach(), SIZE // network.patch_embed.patch_size[0])
        network.set_input_size(SIZE)
        network.pos_embed = nn.Parameter(positions)
        self._network = freeze(network)

    def __call__(self, images: Tensor) -> Tensor:
        """Images uint8 [n c h w], with 1 or 3 channels, to features [n f], float32. Raises: ValueError."""
        return extract(self._network, lambda some: self._network(standardized(some, self._network)), images)


def interpolate_positions(positions: Tensor, side: int) -> Tensor:
    """Position embeddings [1 1+p*p f] of the class token and p x p patches to those of ``side`` x ``side`` patches.

    This is the interpolation of DINOv2's own code, whose scale is that of ``side + 0.1`` patches and which is not
    antialiased. timm's own, which is antialiased, leads to other features.
    """
    patches = positions[:, 1:]
    old = math.isqrt(patches.shape[1])
    scale = (side + 0.1) / old
    maps = patches.reshape(1, old, old, -1).permute(0, 3, 1, 2)
    maps = F.interpolate(maps, scale_factor=(scale, scale), mode="bicubic")
    return torch.cat([positions[:, :1], maps.flatten(2).transpose(1, 2)], dim=1)
