"""The order of the real images: one endless, seeded stream, and a function of (seed, position) alone."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

ORDER = 1  # what a seed is for; the engine has other numbers for steps and weights
EPOCHS_KEPT = 2  # a batch spans at most two epochs when it is no larger than the set


class Order:
    """The epochs' permutations, laid end to end.

    Args:
        count: images in the set.
        seed: of the run.
        flip: whether half of the images, chosen anew each epoch, are mirrored.
    """

    def __init__(self, count: int, seed: int, flip: bool = False) -> None:
        self.count = count
        self.seed = seed
        self.flip = flip
        self._epochs: OrderedDict[int, tuple[NDArray[np.int64], NDArray[np.bool_]]] = OrderedDict()

    def at(self, position: int, length: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Which images stand at ``position`` and after it, and which of them are mirrored, each [length]."""
        indices, flips = np.empty(length, np.int64), np.empty(length, np.bool_)
        done = 0
        while done < length:
            epoch, start = divmod(position + done, self.count)
            order, mirrored = self._epoch(epoch)
            taken = min(length - done, self.count - start)
            indices[done : done + taken] = order[start : start + taken]
            flips[done : done + taken] = mirrored[start : start + taken]
            done += taken
        return indices, flips

    def _epoch(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        if epoch not in self._epochs:
            random = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(ORDER, epoch)))
            order = random.permutation(self.count)
            self._epochs[epoch] = order, random.random(self.count) < (0.5 if self.flip else 0.0)
            if len(self._epochs) > EPOCHS_KEPT:
                self._epochs.popitem(last=False)
        return self._epochs[epoch]
