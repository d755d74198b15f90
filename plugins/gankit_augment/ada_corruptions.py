"""ADA's corruptions: noise and cutout (arXiv 2006.06676, appendix B).

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width. ``p`` is a 0-d probability.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .random_apply import bernoulli

NOISE_STD = 0.1  # the scale of the half-normal that each image's own standard deviation is drawn from
CUTOUT_SIZE = 0.5  # of each side


def noise(images: Tensor, p: Tensor) -> Tensor:
    """Add white noise, of a standard deviation drawn for each image."""
    std = torch.randn(len(images), dtype=images.dtype, device=images.device).abs() * NOISE_STD * bernoulli(images, p)
    return images + torch.randn_like(images) * std.view(-1, 1, 1, 1)


def cutout(images: Tensor, p: Tensor) -> Tensor:
    """Zero a box of half of each side, whose centre is anywhere in the image; it may reach beyond the border."""
    centre = torch.rand(len(images), 2, dtype=images.dtype, device=images.device)
    return cut_out(images, centre, bernoulli(images, p))


def cut_out(images: Tensor, centre: Tensor, active: Tensor) -> Tensor:
    """Zero the box about ``centre`` [n 2] (x and y, as shares of the sides), where ``active`` [n]."""
    n, _, height, width = images.shape
    columns = _inside_box(centre[:, :1], width).view(n, 1, 1, width)
    rows = _inside_box(centre[:, 1:], height).view(n, 1, height, 1)
    return images * ~(rows & columns & active.view(n, 1, 1, 1))


def _inside_box(centre: Tensor, side: int) -> Tensor:
    """Which of a side's pixels [n side] lie in the box."""
    pixels = (torch.arange(side, dtype=centre.dtype, device=centre.device) + 0.5) / side
    return (pixels - centre).abs() < CUTOUT_SIZE / 2
