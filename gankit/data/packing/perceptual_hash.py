"""The perceptual hash of an image, and finding images whose hashes are close."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

SIDE = 32  # pixels of the reduced image
LOW = 8  # frequencies of each direction that are compared
LUMA = (0.299, 0.587, 0.114)


def perceptual_hash(image: Tensor) -> int:
    """A hash of an image that small changes such as resizing or compression hardly alter.

    The luma is reduced to 32 x 32 pixels. Bit i, from the most significant one on, is set if coefficient i of the 8 x 8
    lowest frequencies of its discrete cosine transform (DCT-II), row by row, is above their median. This is ``phash``
    of the library ImageHash, which reduces images with a Lanczos filter where this function uses the loader's
    antialiased bilinear one. An alpha channel is ignored.

    Args:
        image: uint8 [c h w].

    Returns:
        64 bits.
    """
    colors = image[:3] if len(image) >= 3 else image[:1]
    weights = torch.tensor(LUMA if len(colors) == 3 else (1.0,))[:, None, None]
    luma = (colors.float() * weights).sum(0)[None, None]
    reduced = F.interpolate(luma, size=(SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)[0, 0]
    frequency, place = np.arange(LOW)[:, None], np.arange(SIDE)[None]
    cosines = 2 * np.cos(math.pi * frequency * (2 * place + 1) / (2 * SIDE))
    # rounded, so that those of an even area are zeros
    frequencies = np.round(cosines @ reduced.double().numpy() @ cosines.T).flatten()
    bits = np.packbits(frequencies > np.median(frequencies))
    return int.from_bytes(bits.tobytes())


class NearDuplicates:
    """Finds for each image the closest one before it. An image is compared with all that were kept.

    Args:
        distance: the largest number of different bits of a duplicate, 0 to 64.
        count: the number of images at most.
    """

    def __init__(self, distance: int, count: int) -> None:
        self.distance = distance
        self._hashes = np.zeros(count, np.uint64)
        self._kept = 0

    def find(self, hash_: int) -> tuple[int, int] | None:
        """The number of the kept image that is closest, and how many bits differ; or None, and the image is kept."""
        kept = self._hashes[: self._kept]
        if self._kept:
            distances = np.bitwise_count(kept ^ np.uint64(hash_))
            if distances[closest := int(distances.argmin())] <= self.distance:
                return closest, int(distances[closest])
        self._hashes[self._kept] = hash_
        self._kept += 1
        return None
