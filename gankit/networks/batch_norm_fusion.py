"""BatchNorm in eval mode is linear: fused into the convolution before it, it costs nothing."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

TOLERANCE = 1e-3  # of outputs, relative to their norm


def without_batch_norms(network: nn.Module, images: Tensor) -> nn.Module:
    """A copy of a network in eval mode with each BatchNorm fused into the convolution before it, for speed.

    Args:
        network: returns one tensor or several.
        images: any input of the network, to compare the outputs: modules may be registered in another order than they
            are called.

    Returns:
        The copy, or the network itself if their outputs differ.
    """
    fused = copy.deepcopy(network)
    for part in list(fused.modules()):
        before: str | None = None
        for name, child in list(part.named_children()):
            if isinstance(child, nn.BatchNorm2d) and before is not None:
                convolution = getattr(part, before)
                if convolution.out_channels == child.num_features:
                    setattr(part, before, fuse_conv_bn_eval(convolution, child))
                    setattr(part, name, nn.Sequential(*child.children()))  # timm's contain an activation
            before = name if isinstance(child, nn.Conv2d) else None
    with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
        pairs = zip(_tensors(network(images)), _tensors(fused(images)), strict=True)
        same = all(float((one - other).norm()) <= TOLERANCE * float(one.norm()) for one, other in pairs)
    return fused if same else network


def _tensors(output: Any) -> Iterable[Tensor]:
    return [output] if isinstance(output, Tensor) else output
