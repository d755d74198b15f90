"""Image features without a network, coarse colors and edges, and distances between sets of features.

Shapes: ``n`` images of ``c`` channels, ``h`` by ``w``; ``f`` features, ``k`` whitened dimensions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, pad

MAX_SIDE = 64  # larger images are averaged down to it
THUMBNAIL_SIDE, EDGE_CELLS = 8, 4
EDGE_OFFSET = 0.01  # added to the mean strength of edges before taking the logarithm


def quantized(images: Tensor) -> Tensor:
    """Images [n c h w] rounded to 8 bits as real images are, in [-1, 1], at most 64 px a side."""
    levels = images.float().clamp(-1, 1).add(1).mul(127.5).round().div(127.5).sub(1)
    return reduced(levels)


def reduced(images: Tensor) -> Tensor:
    """Images [n c h w] averaged down to at most 64 px a side."""
    height, width = images.shape[-2:]
    if max(height, width) <= MAX_SIDE:
        return images
    return adaptive_avg_pool2d(images, (min(height, MAX_SIDE), min(width, MAX_SIDE)))


def thumbnails(images: Tensor) -> Tensor:
    """Mean colors [n f] of 8x8 cells of images [n c h w]."""
    return adaptive_avg_pool2d(images, THUMBNAIL_SIDE).flatten(1)


def describe(images: Tensor) -> Tensor:
    """Features [n f] of images [n c h w] in [-1, 1]: `thumbnails`, and log edge strengths in four directions.

    Edges separate blurred images from sharp ones, and objects of the same color from each other.
    """
    grey = images.mean(dim=1, keepdim=True)
    across = pad(grey[..., :, 1:] - grey[..., :, :-1], (0, 1))
    down = pad(grey[..., 1:, :] - grey[..., :-1, :], (0, 0, 0, 1))
    directions = torch.cat([across, down, (across + down) / 2**0.5, (across - down) / 2**0.5], dim=1).abs()
    edges = adaptive_avg_pool2d(directions, EDGE_CELLS).flatten(1)
    return torch.cat([thumbnails(images), (edges + EDGE_OFFSET).log()], dim=1)


class Whitened:
    """Projects features to their principal directions, scaled to about unit variance; weak directions stay smaller.

    Args:
        features: [n f], whose principal directions are used.
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
    """The mean distance between points [n k] and points [m k]."""
    return torch.cdist(one, other).mean()


def within(points: Tensor) -> Tensor:
    """The mean distance between two different points of [n k]."""
    n = len(points)
    return torch.cdist(points, points).sum() / max(n * (n - 1), 1)


def energy_distance(one: Tensor, other: Tensor) -> Tensor:
    """2 E|x - y| - E|x - x'| - E|y - y'| between points [n k] and [m k], unbiased, so it can be slightly below 0.

    Szekely and Rizzo, Energy statistics (2013).
    """
    return 2 * between(one, other) - within(one) - within(other)
