"""What a projected discriminator looks at: feature maps of a pretrained network, mixed by fixed random projections.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gankit

from .backbone import REDUCTIONS, load_backbone, without_batch_norms
from .fixed import fingerprint, fix

WIDTHS = (1, 2, 4, 8)  # of the maps after cross-channel mixing, shallowest first
MIXED_WIDTHS = (1, 1, 2, 4)  # of the maps after cross-scale mixing


class ProjectedFeatures(nn.Module):
    """A frozen pretrained network, cross-channel mixing and cross-scale mixing (arXiv 2111.01007, sec. 3.2).

    A random 1x1 convolution mixes the channels of each map (CCM); then, from the deepest map up, each is added to the
    next, mixed by another one, and doubled in size (CSM). Nothing of it learns, whatever mode the rest is in.

    The state dict holds the random projections and a fingerprint of the pretrained weights, but not these: a state
    that was made with others is refused.

    Args:
        image: what is looked at.
        backbone: timm's name of the network.
        size: pixels of the short side, to which images are resized.
        width: channels of the largest map.

    Raises:
        ValueError: there is no such network, or it cannot look at such images.
        gankit.GankitError: timm or the weights are not on this machine.
    """

    mean: Tensor
    std: Tensor
    sha256: Tensor

    def __init__(self, image: gankit.ImageSpec, backbone: str, size: int, width: int) -> None:
        super().__init__()
        if image.channels not in (1, 3):
            raise ValueError(
                f"projected looks at images of 3 channels, or of 1 that is repeated; these have {image.channels}: "
                "convert them to RGB"
            )
        self.backbone = backbone
        self.seen = seen_size(image, size)
        network, channels, mean, std = load_backbone(backbone)
        meta = torch.get_default_device().type == "meta"
        prints = torch.zeros(32, dtype=torch.uint8) if meta else fingerprint(network)
        self.register_buffer("sha256", prints)
        self.network = fix(network if meta else without_batch_norms(network), saved=False)
        # of images in [-1, 1], as the network's own are in [0, 1]
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1) * 2 - 1, persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1) * 2, persistent=False)
        wide, mixed = [width * times for times in WIDTHS], [width * times for times in MIXED_WIDTHS]
        self.channel_mixing = fix(_projections(channels, wide), saved=True)
        self.scale_mixing = fix(_projections(wide, mixed), saved=True)
        self.register_load_state_dict_pre_hook(_check_fingerprint)  # type: ignore[no-untyped-call]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images [n c h w] in [-1, 1] to mixed maps, the largest, of half the size that the network sees, first."""
        # oneDNN's depthwise convolutions have slow derivatives in bf16: on a CPU, full precision takes half the time
        on_cpu = images.device.type == "cpu"
        with torch.autocast("cpu", enabled=False) if on_cpu else nullcontext():
            maps = self.network(self._prepared(images))
            maps = [mix(map) for mix, map in zip(self.channel_mixing, maps, strict=True)]
            mixed: list[Tensor] = []
            for mix, map in zip(list(self.scale_mixing)[::-1], maps[::-1], strict=True):
                projected = mix(map + mixed[-1] if mixed else map)
                # doubled after the projection, with which it commutes: a quarter of the work
                mixed.append(F.interpolate(projected, scale_factor=2, mode="bilinear", align_corners=True))
        return mixed[::-1]

    def train(self, mode: bool = True) -> ProjectedFeatures:
        """Nothing changes: it is always in eval mode."""
        return super().train(False)

    def _prepared(self, images: Tensor) -> Tensor:
        images = images.to(self.mean.dtype).expand(-1, 3, -1, -1)
        height, width = images.shape[2:]
        if (height, width) != self.seen:
            smaller = self.seen[0] < height or self.seen[1] < width
            images = F.interpolate(images, self.seen, mode="bilinear", antialias=smaller)
        # one layout throughout, whatever that of the images: the one that convolutions are faster in
        return ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)


def seen_size(image: gankit.ImageSpec, size: int) -> tuple[int, int]:
    """Height and width of what the network sees: short side ``size``, both whole multiples of its last reduction."""
    step, short = REDUCTIONS[-1], min(image.height, image.width)
    height, width = (max(round(side * size / short / step), 1) * step for side in (image.height, image.width))
    return height, width


def _projections(inputs: Any, outputs: Any) -> nn.ModuleList:
    return nn.ModuleList(nn.Conv2d(*pair, kernel_size=1) for pair in zip(inputs, outputs, strict=True))


def _check_fingerprint(module: ProjectedFeatures, state: Mapping[str, Tensor], prefix: str, *others: Any) -> None:
    """Refuse, through ``error_msgs``, a state of heads that were trained on other features."""
    given = state.get(f"{prefix}sha256")
    if given is not None and not torch.equal(given.cpu(), module.sha256.cpu()):
        theirs, ours = (bytes(print.flatten().tolist()).hex()[:12] for print in (given.cpu(), module.sha256.cpu()))
        others[-1].append(
            f"this discriminator was trained on other features: the weights of its pretrained network have the SHA-256 "
            f"{theirs}..., and those of '{module.backbone}' here {ours}...; its heads mean nothing with these"
        )
