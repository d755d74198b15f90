"""Full precision inside autocast."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(where: Tensor | torch.device) -> AbstractContextManager[None]:
    """Disable autocast where it is enabled: operations run in the precision of their operands.

    Args:
        where: the device whose autocast is disabled, or a tensor on it.
    """
    device = (where.device if isinstance(where, Tensor) else where).type
    # the meta device has no autocast; where it is disabled, an exported program need not record that
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return nullcontext()
    return torch.autocast(device, enabled=False)
