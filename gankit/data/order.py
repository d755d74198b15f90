"""The order of the real images: an endless stream of permutations that depends only on (seed, position)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ORDER = 1  # spawn key of the order's seed; `device.seeding` lists the other ones
CACHED_EPOCHS = 2  # a batch spans at most two epochs, as it is not larger than the dataset


Flips = NDArray[np.bool_]
"""Whether each image is mirrored, [n]."""


class Drawn(NamedTuple):
    """Random choices for images: their indices, whether each is mirrored, and the place of its crop [n 2] in [0, 1)."""

    indices: NDArray[np.int64]
    flips: Flips
    windows: NDArray[np.float64]


class Blocks(NamedTuple):
    """Consecutive items of a dataset that are cheap to read together, such as those of a compressed part of a file.

    Attributes:
        sizes: the number of items in each block.
        together: how many blocks are shuffled together, because all of them fit into memory.
    """

    sizes: Sequence[int]
    together: int


class Order:
    """One random permutation per epoch, concatenated.

    Args:
        count: the number of images in the dataset.
        seed: of the run.
        flip: whether to mirror a random half of the images, drawn for each epoch.
        crop: whether to draw the places of crops; without it they have no columns.
        stream: the number of an order that is independent of the others; 0 is that of the images.
        blocks: of the dataset. In each epoch, the blocks are shuffled, and then the items of every few blocks.
    """

    def __init__(
        self,
        count: int,
        seed: int,
        flip: bool = False,
        crop: bool = False,
        stream: int = 0,
        blocks: Blocks | None = None,
    ) -> None:
        self.count, self.seed, self.stream, self.blocks = count, seed, stream, blocks
        self._flip_share, self._window_size = 0.5 if flip else 0.0, 2 if crop else 0
        self._epochs: dict[int, Drawn] = {}

    def at(self, position: int, length: int) -> Drawn:
        """The random choices for the ``length`` images from ``position`` on."""
        parts = []
        done = 0
        while done < length:
            epoch, start = divmod(position + done, self.count)
            taken = min(length - done, self.count - start)
            parts.append([values[start : start + taken] for values in self._epoch(epoch)])
            done += taken
        return Drawn(*(np.concatenate(values) for values in zip(*parts, strict=True)))

    def _epoch(self, epoch: int) -> Drawn:
        """The random choices for all images of an epoch."""
        drawn = self._epochs.get(epoch)  # held: another thread may remove it from the cache
        if drawn is None:
            key = (ORDER, epoch, self.stream) if self.stream else (ORDER, epoch)
            random = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
            permutation = random.permutation(self.count) if self.blocks is None else _by_blocks(self.blocks, random)
            flips = random.random(self.count) < self._flip_share
            drawn = Drawn(permutation, flips, random.random((self.count, self._window_size)))
            self._epochs[epoch] = drawn
            if len(self._epochs) > CACHED_EPOCHS:
                self._epochs.pop(next(iter([*self._epochs])), None)  # the oldest
        return drawn


def _by_blocks(blocks: Blocks, random: np.random.Generator) -> NDArray[np.int64]:
    """A permutation of all items in which those of a block are close to each other."""
    ends = np.cumsum(blocks.sizes)
    order = random.permutation(len(ends))
    parts = [np.arange(ends[block] - blocks.sizes[block], ends[block]) for block in order]
    starts = range(0, len(parts), blocks.together)
    return np.concatenate([random.permutation(np.concatenate(parts[i : i + blocks.together])) for i in starts])
