"""DiffAugment: color, translation and cutout, as published (arXiv 2006.10738)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import pad

import gankit

Policy = Literal["color", "translation", "cutout"]


class DiffAugment(nn.Module):
    """DiffAugment (arXiv 2006.10738): color, translation and cutout, drawn anew for each image.

    It works on [-1, 1] directly and does not clamp, as published: after ``color`` values may lie outside.

    Args:
        image: what the images are like.
        policy: what to apply, in this order.

    Raises:
        ValueError: a policy is given twice.
    """

    def __init__(
        self,
        image: gankit.ImageSpec,
        *,
        policy: Annotated[tuple[Policy, ...], Field(min_length=1)] = ("color", "translation", "cutout"),
    ) -> None:
        super().__init__()
        if len(set(policy)) < len(policy):
            raise ValueError(f"policy {list(policy)} names one twice; give each of color, translation, cutout once")
        self.policy = policy

    def forward(self, images: Tensor) -> Tensor:
        """Images [n c h w] to the same shape."""
        for name in self.policy:
            images = POLICIES[name](images)
        return images

    def extra_repr(self) -> str:
        return ", ".join(self.policy)


def color(images: Tensor) -> Tensor:
    """Brightness, then saturation, then contrast."""
    images = images + (_uniform(images) - 0.5)
    images = _scale_about(images.mean(dim=1, keepdim=True), images, 2 * _uniform(images))
    return _scale_about(images.mean(dim=(1, 2, 3), keepdim=True), images, _uniform(images) + 0.5)


def translation(images: Tensor, ratio: float = 0.125) -> Tensor:
    """Shift by whole pixels, up to ``ratio`` of each side either way; zeros come in from outside."""
    n, _, height, width = images.shape
    up, left = _rounded(height, ratio), _rounded(width, ratio)
    rows = _integers(images, 2 * up + 1) + torch.arange(height, device=images.device)  # [n h]
    columns = _integers(images, 2 * left + 1) + torch.arange(width, device=images.device)  # [n w]
    padded = pad(images, (left, left, up, up))
    shifted = padded.take_along_dim(rows.view(n, 1, height, 1), dim=2)
    return shifted.take_along_dim(columns.view(n, 1, 1, width), dim=3)


def cutout(images: Tensor, ratio: float = 0.5) -> Tensor:
    """Zero a box of ``ratio`` of each side, whose centre is anywhere in the image; it may reach beyond the border."""
    n, _, height, width = images.shape
    rows = _inside_box(images, height, ratio).view(n, 1, height, 1)
    columns = _inside_box(images, width, ratio).view(n, 1, 1, width)
    return images * ~(rows & columns)


POLICIES: Mapping[str, Callable[[Tensor], Tensor]] = {"color": color, "translation": translation, "cutout": cutout}


def _inside_box(images: Tensor, side: int, ratio: float) -> Tensor:
    """Which of a side's pixels [n side] lie in a box that spans ``ratio`` of it."""
    box = _rounded(side, ratio)
    first = _integers(images, side + 1 - box % 2) - box // 2
    pixels = torch.arange(side, device=images.device)
    return (first <= pixels) & (pixels < first + box)


def _scale_about(centre: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    return (images - centre) * factor + centre


def _uniform(images: Tensor) -> Tensor:
    """A draw from [0, 1) for each image, [n 1 1 1]."""
    return torch.rand(len(images), 1, 1, 1, dtype=images.dtype, device=images.device)


def _integers(images: Tensor, count: int) -> Tensor:
    """A draw from 0 to ``count - 1`` for each image, [n 1]."""
    return torch.randint(count, (len(images), 1), device=images.device)


def _rounded(side: int, ratio: float) -> int:
    return int(side * ratio + 0.5)
