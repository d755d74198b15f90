"""Inference with a pretrained network: the same features for the same image in any context."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

BATCH_SIZE = 64
"""Images per forward pass; any number may be given."""


def freeze(network: nn.Module) -> nn.Module:
    """Prepare for inference: eval mode, float32, no gradients, channels_last."""
    return network.float().eval().requires_grad_(False).to(memory_format=torch.channels_last)


def fingerprint(network: nn.Module) -> str:
    """SHA-256 (hexadecimal) over the bytes of all parameters and buffers in the order of the state dict."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def extract(network: nn.Module, forward: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Compute features [n f], float32, of images uint8 [n c h w] with 1 or 3 channels, on the images' device.

    ``forward`` gets batches with 3 channels. Raises: ValueError: images of another type or shape.
    """
    if images.dtype != torch.uint8 or images.dim() != 4:
        raise ValueError(f"images must be uint8 [n c h w], but are {images.dtype} {list(images.shape)}")
    if images.shape[1] not in (1, 3):
        raise ValueError(
            f"images must have 3 channels, or 1 that is repeated, but have {images.shape[1]}: "
            "convert them to RGB, or choose other features"
        )
    with float32_inference(network, images.device):
        return torch.cat([forward(batch.expand(-1, 3, -1, -1)) for batch in images.split(BATCH_SIZE)])


@contextmanager
def float32_inference(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Move ``network`` to ``device`` and run without gradients, in full float32 whatever precision the caller uses."""
    network.to(device)
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        if device.type == "cuda":
            with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
                yield
        else:
            yield
