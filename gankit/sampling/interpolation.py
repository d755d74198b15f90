"""Interpolation between latents. Shapes: ``n`` latents of ``d`` dimensions, ``s`` steps."""

from __future__ import annotations

import torch
from torch import Tensor

from ..interfaces import Latent

MIN_SINE = 1e-4  # for a smaller sine of the angle, arc and line agree within rounding errors


def interpolate_latents(latent: Latent, z: Tensor, steps: int) -> Tensor:
    """Interpolate from each latent to the next, and from the last to the first.

    Args:
        latent: whose ``between`` interpolates; without it, `slerp` does.
        z: the latents [n d].
        steps: the number of equal steps from one latent to the next.

    Returns:
        [n s d]; row i begins with ``z[i]`` and ends one step before ``z[i + 1]``.
    """
    between = getattr(latent, "between", slerp)
    following = z.roll(-1, dims=0)
    return torch.stack([between(z, following, step / steps) for step in range(steps)], dim=1)


def slerp(start: Tensor, end: Tensor, share: float | Tensor) -> Tensor:
    """Spherical linear interpolation of latents [n d] (arXiv 1609.04468, section 2.1).

    Independent normal latents have nearly equal lengths. Linear interpolation between them gives shorter latents,
    which G was never trained on.

    Args:
        start: latents [n d].
        end: latents [n d].
        share: 0 gives ``start``, 1 gives ``end``; a number, or one for each [n 1].
    """
    lengths = start.norm(dim=1, keepdim=True) * end.norm(dim=1, keepdim=True)
    cosine = ((start * end).sum(dim=1, keepdim=True) / lengths).nan_to_num(1.0).clamp(-1, 1)  # NaN for a zero latent
    angle = cosine.acos()
    sine = angle.sin()
    arc = (((1 - share) * angle).sin() * start + (share * angle).sin() * end) / sine.clamp(min=MIN_SINE)
    return torch.where(sine < MIN_SINE, start + (end - start) * share, arc)
