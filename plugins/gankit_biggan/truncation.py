"""The truncation trick."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.special import ndtr, ndtri


def truncate(z: Tensor, threshold: float) -> Tensor:
    """Normal latents to those of the normal distribution cut off at ±``threshold`` (arXiv 1809.11096, sec. 3.1).

    Each keeps its quantile, so that the same latent always becomes the same; drawing those beyond the threshold anew,
    as the paper does, gives the same distribution. (The published demonstration cuts off at 2 and scales then.)

    Args:
        z: standard normal, of any shape.
        threshold: above 0.
    """
    # by the lower tail on both sides of 0, for floats are dense near 0 and not near 1
    cut = ndtr(torch.tensor(-threshold, dtype=z.dtype, device=z.device))
    distance: Tensor = ndtri(cut + ndtr(-z.abs()) * (1 - 2 * cut))
    return -z.sign() * distance.clamp(-threshold, 0)
