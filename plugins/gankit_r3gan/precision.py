"""Where networks leave the lower precision that they run in, and where they do not."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(like: Tensor) -> AbstractContextManager[None]:
    """Computation in the precision of the operands, also inside of autocast."""
    device = like.device.type
    known = torch.amp.is_autocast_available(device)  # the meta device has none
    return torch.autocast(device, enabled=False) if known else nullcontext()


def as_autocast(features: Tensor) -> Tensor:
    """In the type that autocast computes in, where it is on."""
    device = features.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return features.to(torch.get_autocast_dtype(device))
    return features
