"""The truncation trick."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.special import ndtr, ndtri


def truncate(z: Tensor, threshold: float | Tensor) -> Tensor:
    """Map standard normal latents to a normal distribution truncated at ±``threshold`` (arXiv 1809.11096, sec. 3.1).

    Each value keeps its quantile, so the mapping is deterministic. The paper redraws values beyond the threshold, which
    gives the same distribution. The published demonstration truncates at 2 and scales the result instead.

    Args:
        z: standard normal values of any shape.
        threshold: bound of the absolute value, above 0; a number or a 0-d tensor.
    """
    # use the lower tail for both signs: floats are dense near 0 but not near 1
    lower = -torch.as_tensor(threshold, dtype=z.dtype, device=z.device)
    cut = ndtr(lower)
    distance: Tensor = ndtri(cut + ndtr(-z.abs()) * (1 - 2 * cut))
    return -z.sign() * distance.clamp(lower, torch.zeros_like(lower))
