"""Weights that nothing trains."""

from __future__ import annotations

import hashlib
from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def fix(module: M, *, saved: bool) -> M:
    """Make every weight of ``module`` a buffer: no optimizer, average or penalty can mistake it for a parameter.

    Args:
        module: changed in place, and in eval mode from here on.
        saved: whether its state dict still holds them.
    """
    for part in module.modules():
        tensors = {**dict(part.named_parameters(recurse=False)), **dict(part.named_buffers(recurse=False))}
        for name, tensor in tensors.items():
            delattr(part, name)
            part.register_buffer(name, tensor.detach(), persistent=saved)
    return module.eval()


def fingerprint(module: nn.Module) -> Tensor:
    """SHA-256 over the names and bytes of all that is in the state dict, uint8 [32]."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return torch.tensor(list(digest.digest()), dtype=torch.uint8)
