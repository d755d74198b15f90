"""Which images of a batch an operation is applied to, and its application to those alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def bernoulli(images: Tensor, p: Tensor) -> Tensor:
    """True with probability ``p`` (0-d) for each of ``images``, [n]."""
    return torch.rand(len(images), dtype=images.dtype, device=images.device) < p


def apply_where(active: Tensor, operate: Callable[[Tensor, Tensor], Tensor], images: Tensor, given: Tensor) -> Tensor:
    """``operate(images, given)`` for the images that are ``active`` [n]; the others stay exactly as they are.

    On a CPU the others cost nothing; elsewhere, to leave them out would be to wait for the device.

    Args:
        active: [n].
        operate: images [m c h w] and parameters [m ...] to images of the same shape, each by itself.
        images: [n c h w].
        given: its parameters [n ...].
    """
    if images.device.type != "cpu":
        return torch.where(active.view(-1, 1, 1, 1), operate(images, given), images)
    rows = active.nonzero().flatten()
    if len(rows) == len(images):
        return operate(images, given)
    return images.index_copy(0, rows, operate(images[rows], given[rows])) if len(rows) else images
