"""DiffAugment (arXiv 2006.10738)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import pad

Policy = Literal["color", "translation", "cutout"]


class DiffAugment(nn.Module):
    """DiffAugment (arXiv 2006.10738): color, translation and cutout, drawn independently for each image.

    As published, values are not clamped: after ``color`` they may lie outside [-1, 1].

    Args:
        policy: the operations, applied in this order.

    Raises:
        ValueError: ``policy`` has duplicates.
    """

    def __init__(
        self,
        *,
        policy: Annotated[tuple[Policy, ...], Field(min_length=1)] = ("color", "translation", "cutout"),
    ) -> None:
        super().__init__()
        if len(set(policy)) < len(policy):
            raise ValueError(f"policy {list(policy)} has duplicates; give each of {', '.join(POLICIES)} at most once")
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
    """Shift by whole pixels, up to ``ratio`` of each side in both directions; the border is filled with zeros."""
    n, _, height, width = images.shape
    up, left = _rounded(height, ratio), _rounded(width, ratio)
    rows = _integers(images, 2 * up + 1) + torch.arange(height, device=images.device)  # [n h]
    columns = _integers(images, 2 * left + 1) + torch.arange(width, device=images.device)  # [n w]
    padded = pad(images, (left, left, up, up))
    shifted = padded.take_along_dim(rows.view(n, 1, height, 1), dim=2)
    return shifted.take_along_dim(columns.view(n, 1, 1, width), dim=3)


def cutout(images: Tensor, ratio: float = 0.5) -> Tensor:
    """Zero a box of ``ratio`` of each side, centered anywhere in the image; it may extend beyond the border."""
    n, _, height, width = images.shape
    rows = _inside_box(images, height, ratio).view(n, 1, height, 1)
    columns = _inside_box(images, width, ratio).view(n, 1, 1, width)
    return images * ~(rows & columns)


POLICIES: Mapping[str, Callable[[Tensor], Tensor]] = {"color": color, "translation": translation, "cutout": cutout}


def _inside_box(images: Tensor, side: int, ratio: float) -> Tensor:
    """Mask [n side] of the pixels of a row or column that lie in a box of ``ratio`` of its length."""
    box = _rounded(side, ratio)
    first = _integers(images, side + 1 - box % 2) - box // 2
    pixels = torch.arange(side, device=images.device)
    return (first <= pixels) & (pixels < first + box)


def _scale_about(center: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    return (images - center) * factor + center


def _uniform(images: Tensor) -> Tensor:
    """Uniform random numbers in [0, 1) for each image, [n 1 1 1]."""
    return torch.rand(len(images), 1, 1, 1, dtype=images.dtype, device=images.device)


def _integers(images: Tensor, count: int) -> Tensor:
    """Random integers from 0 to ``count - 1`` for each image, [n 1]."""
    return torch.randint(count, (len(images), 1), device=images.device)


def _rounded(side: int, ratio: float) -> int:
    return int(side * ratio + 0.5)
