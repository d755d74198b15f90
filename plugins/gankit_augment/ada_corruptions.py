"""ADA's image-space corruptions, noise and cutout (arXiv 2006.06676, appendix B).

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width. ``p`` is a 0-d probability.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .random_apply import bernoulli

NOISE_STD = 0.1  # scale of the half-normal distribution of each image's noise level
CUTOUT_SIZE = 0.5  # of each side


def noise(images: Tensor, p: Tensor) -> Tensor:
    """Add white noise with a standard deviation drawn for each image."""
    std = torch.randn(len(images), dtype=images.dtype, device=images.device).abs() * NOISE_STD * bernoulli(images, p)
    return images + torch.randn_like(images) * std.view(-1, 1, 1, 1)


def cutout(images: Tensor, p: Tensor) -> Tensor:
    """Zero a box of half of each side, centered anywhere in the image; it may extend beyond the border."""
    center = torch.rand(len(images), 2, dtype=images.dtype, device=images.device)
    return cut_out(images, center, bernoulli(images, p))


def cut_out(images: Tensor, center: Tensor, active: Tensor) -> Tensor:
    """Zero the box around ``center`` [n 2] (x and y, as fractions of the sides) in images that are ``active`` [n]."""
    n, _, height, width = images.shape
    columns = _inside_box(center[:, :1], width).view(n, 1, 1, width)
    rows = _inside_box(center[:, 1:], height).view(n, 1, height, 1)
    return images * ~(rows & columns & active.view(n, 1, 1, 1))


def _inside_box(center: Tensor, side: int) -> Tensor:
    """Mask [n side] of the pixels of a row or column that lie in the box."""
    pixels = (torch.arange(side, dtype=center.dtype, device=center.device) + 0.5) / side
    return (pixels - center).abs() < CUTOUT_SIZE / 2
