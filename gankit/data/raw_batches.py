"""Raw batches: the items of a batch as they are stored, before the device converts or encodes them."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from ..errors import DataError
from ..plugin_files import load_plugin_files, loaded_plugin_files
from .image_cache import Source
from .order import Order

INDICES, FLIPS = "indices", "flips"  # with the number of an order, keys of a raw batch

RawBatch = dict[str, Tensor]
"""Fields and labels of items, images uint8 [n c h w]; and of each order, the indices [n] of its items in the dataset
and whether they are mirrored [n]."""
ReadError = DataError | OSError | MemoryError


class RawReader(NamedTuple):
    """Reads the items of batches. A process that decodes images has a copy of it.

    Attributes:
        orders: each with the names of the fields whose items it orders. Fields without a name are not read.
        source: of the items.
        crops: whether the places of crops are drawn.
    """

    orders: Sequence[tuple[Sequence[str], Order]]
    source: Source
    crops: bool

    def read(self, position: int, length: int) -> RawBatch:
        """The raw batch of ``length`` items from ``position`` on. Raises: DataError: an item cannot be read."""
        raw: RawBatch = {}
        for number, (names, order) in enumerate(self.orders):
            drawn = order.at(position, length)
            if names:
                raw |= self.source.read(drawn.indices, names, drawn.windows if self.crops else None)
            raw[f"{INDICES} {number}"] = torch.from_numpy(drawn.indices)
            raw[f"{FLIPS} {number}"] = torch.from_numpy(drawn.flips)
        return raw


class RawBatches(TorchDataset["RawBatch | ReadError"]):
    """Reads raw batches by position in a worker. Errors are returned, as raising adds the worker's traceback."""

    def __init__(self, reader: RawReader, length: int) -> None:
        self.reader, self.length = reader, length

    def __getitem__(self, position: int) -> RawBatch | ReadError:
        try:
            return self.reader.read(position, self.length)
        except (DataError, OSError, MemoryError) as error:
            return error

    def __reduce__(self) -> tuple[Any, ...]:
        # a worker that was not forked has to load the plugin files of these objects before it unpickles them
        content = pickle.dumps((self.reader, self.length))
        plugins = {name: path for name, path in loaded_plugin_files().items() if name.encode() in content}
        return _unpickled, (plugins, content)


def _unpickled(plugins: Mapping[str, Path], content: bytes) -> RawBatches:
    load_plugin_files(plugins)
    return RawBatches(*pickle.loads(content))
