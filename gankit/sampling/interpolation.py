"""From one latent to the next. Shapes: ``n`` latents of ``d`` dimensions, ``s`` steps."""

from __future__ import annotations

import torch
from torch import Tensor

from ..interfaces import Latent

PARALLEL = 1e-4  # of a right angle's sine: nearer than this, arc and line are one


def walk(latent: Latent, z: Tensor, steps: int) -> Tensor:
    """From each of the latents [n d] in ``steps`` equal steps towards the next, and back to the first: [n s d]."""
    between = getattr(latent, "between", on_the_arc)
    following = z.roll(-1, dims=0)
    return torch.stack([between(z, following, step / steps) for step in range(steps)], dim=1)


def on_the_arc(start: Tensor, end: Tensor, share: float) -> Tensor:
    """Spherical interpolation of latents [n d] (arXiv 1609.04468, sec. 2.1).

    Independent normal latents all have nearly the same length, and points of the straight line between two of them
    are shorter than any that G was trained on.
    """
    lengths = start.norm(dim=1, keepdim=True) * end.norm(dim=1, keepdim=True)
    cosine = ((start * end).sum(dim=1, keepdim=True) / lengths).nan_to_num(1.0).clamp(-1, 1)  # 0 has no direction
    angle = cosine.acos()
    sine = angle.sin()
    arc = (((1 - share) * angle).sin() * start + (share * angle).sin() * end) / sine.clamp(min=PARALLEL)
    return torch.where(sine < PARALLEL, start + (end - start) * share, arc)
