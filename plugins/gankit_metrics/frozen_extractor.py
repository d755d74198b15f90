"""A trained network that only looks: the same features for the same image, whoever asks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

AT_ONCE = 64
"""Images that go through a network together; any number may be given."""


def freeze(network: nn.Module) -> nn.Module:
    """For evaluation alone, in float32, laid out for fast convolutions."""
    return network.float().eval().requires_grad_(False).to(memory_format=torch.channels_last)


def fingerprint(network: nn.Module) -> str:
    """SHA-256, in hexadecimal, over the bytes of all parameters and buffers in the order of the state dict."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def extract(network: nn.Module, forward: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Features [n f], float32, of images uint8 [n c h w] with 1 or 3 channels, on the images' device.

    ``forward`` is given some of them at a time, with 3 channels. Raises: ValueError: other images.
    """
    if images.dtype != torch.uint8 or images.dim() != 4:
        raise ValueError(f"images are uint8 [n c h w]; {images.dtype} {list(images.shape)} was given")
    if images.shape[1] not in (1, 3):
        raise ValueError(
            f"images have 3 channels, or 1 that is repeated to 3; these have {images.shape[1]}: "
            "convert them to RGB, or choose other features"
        )
    with float32_inference(network, images.device):
        return torch.cat([forward(some.expand(-1, 3, -1, -1)) for some in images.split(AT_ONCE)])


@contextmanager
def float32_inference(network: nn.Module, device: torch.device) -> Iterator[None]:
    """No gradients, and full float32 whatever precision the caller computes in; ``network`` follows to ``device``."""
    network.to(device)
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        if device.type == "cuda":
            with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
                yield
        else:
            yield
