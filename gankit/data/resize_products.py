"""Resizes images on the CPU by products with sparse matrices, in a fraction of the time of torch's own kernel.

torch's antialiased kernel sums the weighted pixels of a row or column one after the other. A product of a sparse matrix
of the weights with the pixels computes the same sums, for many pixels at a time.
"""

from __future__ import annotations

import warnings
from functools import cache, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

MIN_SIDE = 64  # in pixels; products with fewer than 32 columns sum in another order
MAX_SIDE = 1024  # so that finding the weights takes little memory
MAX_REDUCTION = 2  # up to here, at most 4 pixels contribute to a result; products sum more in another order
MAX_MATRICES = 256
CHECKED_SIDES = ((341, 256), (511, 256), (200, 256))  # before and after
CHECKED_COLUMNS = (64, 100, 768, 1125)


def can_use_products(images: Tensor, height: int, width: int) -> bool:
    """Whether `resize_by_products` resizes images [n c h w] to the same pixels as torch's own kernel, and faster."""
    old_height, old_width = images.shape[-2:]
    sides = old_height, old_width, height, width
    return (
        images.device.type == "cpu"
        and min(sides) >= MIN_SIDE
        and max(sides) <= MAX_SIDE
        and old_height < MAX_REDUCTION * height
        and old_width < MAX_REDUCTION * width
        and _products_are_exact()
    )


def resize_by_products(images: Tensor, height: int, width: int, rows: slice, columns: slice) -> Tensor:
    """Some rows and columns of images that are resized with antialiased bilinear interpolation.

    Args:
        images: uint8 [n c h w].
        height: of the whole result, in pixels.
        width: of the whole result, in pixels.
        rows: of the result to return, from ``rows.start`` to ``rows.stop``.
        columns: of the result to return.

    Returns:
        uint8 [n c y x], rounded, with the channels last in memory.
    """
    n, channels, old_height, old_width = images.shape
    used_columns, across = _weights(old_width, width, columns.start, columns.stop)
    used_rows, down = _weights(old_height, height, rows.start, rows.stop)
    images = images[..., used_rows, used_columns]
    h, w = images.shape[-2:]
    y, x = rows.stop - rows.start, columns.stop - columns.start
    # transposed and converted by numpy, which takes a third of torch's time
    pixels: NDArray[np.float32] = (
        images.numpy().transpose(3, 0, 1, 2).astype(np.float32, order="C").reshape(w, -1)
    )  # [w, n c h]
    pixels = (across @ torch.from_numpy(pixels)).numpy().reshape(x, n, channels, h)
    pixels = np.ascontiguousarray(pixels.transpose(3, 1, 0, 2)).reshape(h, -1)  # [h, n x c]
    resized = (down @ torch.from_numpy(pixels)).round_().clamp_(0, 255).numpy().astype(np.uint8)
    resized = np.ascontiguousarray(resized.reshape(y, n, x, channels).swapaxes(0, 1))
    return torch.from_numpy(resized).permute(0, 3, 1, 2)


@lru_cache(MAX_MATRICES)
def _weights(old: int, new: int, start: int, stop: int) -> tuple[slice, Tensor]:
    """Which pixels of a side contribute to pixels ``start`` to ``stop`` of the resized one, and their weights.

    The weights [stop - start, pixels] are what torch's kernel makes of an identity matrix, as a sparse matrix.
    """
    weights = _antialiased(torch.eye(old), new)[start:stop]
    used = weights.any(dim=0).nonzero().flatten()
    pixels = slice(int(used[0]), int(used[-1]) + 1)
    return pixels, weights[:, pixels].to_sparse_csr()


def _antialiased(pixels: Tensor, height: int) -> Tensor:
    """Pixels [h w], resized to [height w] by torch's own kernel."""
    size = (height, pixels.shape[1])
    return F.interpolate(pixels[None, None], size, mode="bilinear", antialias=True, align_corners=False)[0, 0]


@cache
def _products_are_exact() -> bool:
    """Whether products equal torch's own kernel bit for bit, which depends on the processor and the build of torch."""
    if not torch.backends.mkl.is_available():
        return False  # products are slow
    random = torch.Generator().manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # once, torch warns that sparse matrices are in beta
        return all(
            torch.equal(_weights(old, new, 0, new)[1] @ pixels, _antialiased(pixels, new))
            for old, new in CHECKED_SIDES
            for columns in CHECKED_COLUMNS
            for pixels in [torch.rand(old, columns, generator=random).mul_(255)]
        )
