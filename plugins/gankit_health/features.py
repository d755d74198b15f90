"""A simple space to compare pictures in, which needs no network: colours in coarse places, and edges.

Shapes: ``n`` images of ``c`` channels, ``h`` by ``w``; ``f`` features, ``k`` dimensions of the space.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, pad

LARGEST_SIDE = 64  # larger images are averaged down to it
THUMB, CELLS = 8, 4
FAINT = 0.01  # added to the mean strength of edges before its logarithm is taken


def quantized(images: Tensor) -> Tensor:
    """Images in [-1, 1] with what 8 bits a channel leave of them, as reals have it; at most 64 px a side."""
    levels = images.float().clamp(-1, 1).add(1).mul(127.5).round().div(127.5).sub(1)
    return reduced(levels)


def reduced(images: Tensor) -> Tensor:
    """Images averaged down to at most 64 px a side."""
    height, width = images.shape[-2:]
    if max(height, width) <= LARGEST_SIDE:
        return images
    return adaptive_avg_pool2d(images, (min(height, LARGEST_SIDE), min(width, LARGEST_SIDE)))


def thumbnails(images: Tensor) -> Tensor:
    """Colours [n f] of images [n c h w], in 8x8 places."""
    return adaptive_avg_pool2d(images, THUMB).flatten(1)


def describe(images: Tensor) -> Tensor:
    """Features [n f] of images [n c h w] in [-1, 1]: `thumbnails`, and the strength of edges of four directions.

    Edges are what tells a blurred picture from a sharp one, and one thing from another of its colours.
    """
    grey = images.mean(dim=1, keepdim=True)
    across = pad(grey[..., :, 1:] - grey[..., :, :-1], (0, 1))
    down = pad(grey[..., 1:, :] - grey[..., :-1, :], (0, 0, 0, 1))
    directions = torch.cat([across, down, (across + down) / 2**0.5, (across - down) / 2**0.5], dim=1).abs()
    edges = adaptive_avg_pool2d(directions, CELLS).flatten(1)
    return torch.cat([thumbnails(images), (edges + FAINT).log()], dim=1)


class Whitened:
    """Features in their principal directions, each scaled to unit variance but for the faint ones.

    Args:
        features: [n f], of which the directions are taken.
        dimensions: k, at most.
    """

    def __init__(self, features: Tensor, dimensions: int) -> None:
        self._mean = features.mean(dim=0)
        _, values, directions = torch.linalg.svd(features - self._mean, full_matrices=False)
        kept = max(1, min(dimensions, len(values), len(features) // 4))
        scales = values[:kept] / max(len(features), 1) ** 0.5
        self._map = directions[:kept].T / (scales + 0.02 * scales[0] + 1e-6)

    def __call__(self, features: Tensor) -> Tensor:
        """Features [n f] to points [n k]."""
        points: Tensor = (features - self._mean) @ self._map
        return points


def between(one: Tensor, other: Tensor) -> Tensor:
    """The mean distance from points [n k] to points [m k]."""
    return torch.cdist(one, other).mean()


def within(points: Tensor) -> Tensor:
    """The mean distance of two of the points [n k]."""
    n = len(points)
    return torch.cdist(points, points).sum() / max(n * (n - 1), 1)


def energy_distance(one: Tensor, other: Tensor) -> Tensor:
    """2 E|x - y| - E|x - x'| - E|y - y'|, without bias: 0 for points [n k] and [m k] of one distribution.

    Szekely and Rizzo, Energy statistics (2013); it can come out slightly below 0.
    """
    return 2 * between(one, other) - within(one) - within(other)
