"""Images as a vision transformer of timm expects them. Shapes: ``n`` images, ``h`` height, ``w`` width."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

RESIZED = "bicubic, antialiased, rounded to 8 bits as by Pillow,"
"""How images are resized, for records."""


def standardized(images: Tensor, network: Any) -> Tensor:
    """Resize images uint8 [n 3 h w] to the network's size, and standardize them by the statistics of its training."""
    mean, std = (
        torch.tensor(network.pretrained_cfg[name], dtype=torch.float32, device=images.device)[:, None, None]
        for name in ("mean", "std")
    )
    return (resize_bicubic(images, *network.patch_embed.img_size) / 255 - mean) / std


def resize_bicubic(images: Tensor, height: int, width: int) -> Tensor:
    """Resize images uint8 [n 3 h w] as Pillow does, with antialiasing, to whole numbers from 0 to 255, fp32.

    Pillow changes the width first, then the height, and rounds to 8 bits each time. Published scores are computed from
    such images.
    """
    resized = images.float()
    for size in ((images.shape[-2], width), (height, width)):
        resized = F.interpolate(resized, size, mode="bicubic", antialias=True)
        resized = (resized + 0.5).floor().clamp(0, 255)  # Pillow rounds halves up
    return resized
