"""Weights that are never trained."""

from __future__ import annotations

import hashlib
from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def freeze(module: M, *, persistent: bool) -> M:
    """Turn all parameters of ``module`` into buffers and switch it to eval mode, in place.

    Optimizers, weight averages and penalties act on parameters, so they skip the module.

    Args:
        module: the module to freeze.
        persistent: whether the state dict contains its parameters and buffers.
    """
    for part in module.modules():
        tensors = {**dict(part.named_parameters(recurse=False)), **dict(part.named_buffers(recurse=False))}
        for name, tensor in tensors.items():
            delattr(part, name)
            part.register_buffer(name, tensor.detach(), persistent=persistent)
    return module.eval()


def fingerprint(module: nn.Module) -> Tensor:
    """SHA-256 of the names and bytes of all tensors in the state dict, uint8 [32]."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return torch.tensor(list(digest.digest()), dtype=torch.uint8)
