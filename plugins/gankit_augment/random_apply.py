"""Random operations on a part of a batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def bernoulli(images: Tensor, p: Tensor) -> Tensor:
    """True with probability ``p`` (0-d) for each of ``images``, [n]."""
    return torch.rand(len(images), dtype=images.dtype, device=images.device) < p


def apply_where(active: Tensor, function: Callable[[Tensor, Tensor], Tensor], images: Tensor, args: Tensor) -> Tensor:
    """Apply ``function(images, args)`` to the images that are ``active``; the others are returned unchanged.

    On a CPU only active images are computed; selecting them on other devices would wait for the device.

    Args:
        active: [n], bool.
        function: maps images [m c h w] and parameters [m ...] to images of the same shape, independently per image.
        images: [n c h w].
        args: its parameters, [n ...].
    """
    if images.device.type != "cpu":
        return torch.where(active.view(-1, 1, 1, 1), function(images, args), images)
    rows = active.nonzero().flatten()
    if len(rows) == len(images):
        return function(images, args)
    return images.index_copy(0, rows, function(images[rows], args[rows])) if len(rows) else images
