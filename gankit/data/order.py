"""The order of the real images: an endless stream of permutations that depends only on (seed, position)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ORDER = 1  # spawn key of the order's seed; `device.seeding` lists the other ones
CACHED_EPOCHS = 2  # a batch spans at most two epochs, as it is not larger than the dataset


class Order:
    """One random permutation per epoch, concatenated.

    Args:
        count: the number of images in the dataset.
        seed: of the run.
        flip: whether to mirror a random half of the images, drawn for each epoch.
    """

    def __init__(self, count: int, seed: int, flip: bool = False) -> None:
        self.count, self.seed, self.flip = count, seed, flip
        self._epochs: dict[int, tuple[NDArray[np.int64], NDArray[np.bool_]]] = {}

    def at(self, position: int, length: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The indices of the ``length`` images from ``position`` on, and which of them are mirrored: each [length]."""
        indices, flips = np.empty(length, np.int64), np.empty(length, np.bool_)
        done = 0
        while done < length:
            epoch, start = divmod(position + done, self.count)
            permutation, mirrored = self._epoch(epoch)
            taken = min(length - done, self.count - start)
            indices[done : done + taken] = permutation[start : start + taken]
            flips[done : done + taken] = mirrored[start : start + taken]
            done += taken
        return indices, flips

    def _epoch(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The permutation of an epoch, and which images are mirrored: each [count]."""
        if epoch not in self._epochs:
            random = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(ORDER, epoch)))
            permutation = random.permutation(self.count)
            self._epochs[epoch] = permutation, random.random(self.count) < (0.5 if self.flip else 0.0)
            if len(self._epochs) > CACHED_EPOCHS:
                del self._epochs[next(iter(self._epochs))]  # the oldest
        return self._epochs[epoch]
