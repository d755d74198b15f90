"""Feature maps of a pretrained network, mixed by fixed random projections: the input of the discriminator's heads.

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

from .backbone import REDUCTIONS, load_backbone
from .frozen_weights import fingerprint, freeze

PROBE_SIZE = 64  # in pixels, of the image on which the network with fused BatchNorms is compared
# channels of the feature maps, largest map first, as multiples of the width
CHANNEL_MIXED = (1, 2, 4, 8)  # after cross-channel mixing
SCALE_MIXED = (1, 1, 2, 4)  # after cross-scale mixing


class ProjectedFeatures(nn.Module):
    """A frozen pretrained network, cross-channel mixing and cross-scale mixing (arXiv 2111.01007, sec. 3.2).

    A random 1x1 convolution mixes the channels of each feature map (CCM). Then, from the smallest map up, each map is
    added to the next larger one, mixed by another 1x1 convolution and upsampled by 2 (CSM). Nothing here is trained,
    and the module is always in eval mode.

    The state dict contains the random projections and a fingerprint of the pretrained weights, but not these weights.
    Loading a state dict with another fingerprint fails.

    Args:
        image: the input images.
        backbone: timm's name of the pretrained network.
        size: short side in pixels to which images are resized.
        width: channels of the largest feature map.

    Raises:
        ValueError: the network is unknown, or the images have neither 1 nor 3 channels.
        gankit.GankitError: timm or the weights are not on this machine.
    """

    mean: Tensor
    std: Tensor
    sha256: Tensor

    def __init__(self, image: gankit.ImageSpec, backbone: str, size: int, width: int) -> None:
        super().__init__()
        if image.channels not in (1, 3):
            raise ValueError(
                f"projected needs images of 3 channels, or of 1 channel, which is repeated; these have "
                f"{image.channels}: convert them to RGB"
            )
        self.backbone = backbone
        self.input_size = resized(image, size)
        network, channels, mean, std = load_backbone(backbone)
        meta = torch.get_default_device().type == "meta"
        self.register_buffer("sha256", torch.zeros(32, dtype=torch.uint8) if meta else fingerprint(network))
        probe = torch.linspace(-2, 2, 3 * PROBE_SIZE**2).sin().view(1, 3, PROBE_SIZE, PROBE_SIZE)
        self.network = freeze(network if meta else gankit.without_batch_norms(network, probe), persistent=False)
        # converted from images in [0, 1] to images in [-1, 1]
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1) * 2 - 1, persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1) * 2, persistent=False)
        channel_mixed, scale_mixed = ([width * times for times in widths] for widths in (CHANNEL_MIXED, SCALE_MIXED))
        self.channel_mixing = freeze(_projections(channels, channel_mixed), persistent=True)
        self.scale_mixing = freeze(_projections(channel_mixed, scale_mixed), persistent=True)
        self.register_load_state_dict_pre_hook(_check_fingerprint)  # type: ignore[no-untyped-call]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images [n c h w] in [-1, 1] to mixed feature maps, largest first; the largest has half the `input_size`."""
        # oneDNN's depthwise convolutions have slow derivatives in bf16: on the CPU, full precision takes half the time
        with gankit.full_precision(images) if images.device.type == "cpu" else nullcontext():
            maps = self.network(self._prepared(images))
            maps = [mix(map) for mix, map in zip(self.channel_mixing, maps, strict=True)]
            mixed: list[Tensor] = []
            for mix, map in zip(list(self.scale_mixing)[::-1], maps[::-1], strict=True):
                projected = mix(map + mixed[-1] if mixed else map)
                # projection and upsampling commute; this order needs a quarter of the work
                mixed.append(F.interpolate(projected, scale_factor=2, mode="bilinear", align_corners=True))
        return mixed[::-1]

    def train(self, mode: bool = True) -> ProjectedFeatures:
        """Stay in eval mode, whatever ``mode`` is."""
        return super().train(False)

    def _prepared(self, images: Tensor) -> Tensor:
        images = images.to(self.mean.dtype).expand(-1, 3, -1, -1)
        height, width = images.shape[2:]
        if (height, width) != self.input_size:
            smaller = self.input_size[0] < height or self.input_size[1] < width
            images = F.interpolate(images, self.input_size, mode="bilinear", antialias=smaller)
        # convolutions are faster in this layout
        return ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)


def resized(image: gankit.ImageSpec, size: int) -> tuple[int, int]:
    """Height and width after resizing to short side ``size``, both multiples of the network's largest reduction."""
    step, short = REDUCTIONS[-1], min(image.height, image.width)
    height, width = (max(round(side * size / short / step), 1) * step for side in (image.height, image.width))
    return height, width


def _projections(inputs: Any, outputs: Any) -> nn.ModuleList:
    return nn.ModuleList(nn.Conv2d(*pair, kernel_size=1) for pair in zip(inputs, outputs, strict=True))


def _check_fingerprint(module: ProjectedFeatures, state: Mapping[str, Tensor], prefix: str, *others: Any) -> None:
    """Report a state dict of heads trained on other features, by an entry in ``error_msgs``."""
    given = state.get(f"{prefix}sha256")
    if given is not None and not torch.equal(given.cpu(), module.sha256.cpu()):
        saved, current = (bytes(digest.flatten().tolist()).hex()[:12] for digest in (given.cpu(), module.sha256.cpu()))
        others[-1].append(
            f"this discriminator was trained on other features: the weights of its pretrained network have the SHA-256 "
            f"{saved}..., but those of '{module.backbone}' on this machine have {current}...; use the same weights"
        )
