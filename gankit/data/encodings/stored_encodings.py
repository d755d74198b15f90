"""Reads encodings from a folder of `write_encodings`, and finds those of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ...errors import GankitError
from ...interfaces import Report
from ...interfaces.data_spec import LABEL
from ...recipe.sections import Loader as LoaderSettings
from ..image_cache import CachedSource, Indices, Source, place
from ..items import Item
from ..order import Flips
from ..tensor_cache import load_tensors
from .encoding_index import made_from, read_index, shown
from .encodings import MIRRORED, PLAIN, Encodings, EncodingSource, encode_all, names_of
from .image_codec import ImageCodec


def find_encodings(
    dataset: Any, source: Source, codec: ImageCodec, settings: LoaderSettings, device: torch.device, report: Report
) -> EncodingSource | None:
    """The encodings of all images of a run; None if images are encoded when they are used.

    Args:
        dataset: prepared.
        source: of its items.
        codec: of the run.
        settings: the recipe's ``loader``.
        device: of the run.
        report: called with the progress.

    Raises:
        GankitError: those of ``loader.encodings`` are incomplete, or of something else.
    """
    if settings.encodings is not None:
        stored = StoredEncodings(settings.encodings, made_from(dataset, source, codec), settings.flip)
        kept_on = place(stored.bytes, settings.cache, device)
        return stored if kept_on is None else stored.load(kept_on)
    if isinstance(source, CachedSource):
        return encode_all(dataset, source, codec, settings.flip, report)
    return None


class StoredEncodings:
    """Encodings in a folder, which are read from it when they are used.

    Args:
        folder: of `write_encodings`.
        expected: of `made_from`.
        mirrored: whether mirrored images are read.

    Attributes:
        labels: of all items, [n] or [n v].

    Raises:
        GankitError: the folder has no encodings, or not all of them, or they were made from something else.
    """

    def __init__(self, folder: Path, expected: Mapping[str, Any], mirrored: bool) -> None:
        self.folder, self.names, self.index = folder, names_of(mirrored), read_index(folder)
        for key, value in expected.items():
            if (found := self.index.made_from.get(key)) != value:
                raise GankitError(
                    f"{folder}: its encodings do not fit this run: `{key}` is {shown(found)} there and "
                    f"{shown(value)} here; use the recipe that they were made with, or encode the data again"
                )
        if mirrored and MIRRORED not in self.index.names:
            raise GankitError(
                f"{folder}: has no encodings of mirrored images, which loader.flip needs; encode the data with "
                "loader.flip=true into another folder, or set loader.flip to false"
            )
        self._files: dict[str, Any] = {}
        self.labels = torch.cat([self._open(name, rows).get_tensor(LABEL) for name, rows in self.index.shards])

    @property
    def bytes(self) -> int:
        """The size of the encodings in memory."""
        dtype: torch.dtype = getattr(torch, self.index.made_from["dtype"])
        return len(self.names) * self.index.count * math.prod(self.index.shape) * dtype.itemsize

    def read(self, indices: Indices, flips: Flips) -> Tensor:
        """As `EncodingSource.read`."""
        shards, rows = self.index.shards, self.index.shard_rows
        found = []
        for index, flip in zip(indices.tolist(), flips.tolist(), strict=True):
            name = MIRRORED if flip and MIRRORED in self.names else PLAIN
            row = index % rows
            found.append(self._open(*shards[index // rows]).get_slice(name)[row : row + 1])
        return torch.cat(found)

    def load(self, device: torch.device) -> Encodings:
        """All encodings in memory. Raises: GankitError: a file is damaged."""
        stacked: Item = {}
        for name, rows in self.index.shards:
            shard = load_tensors(self.folder / name, (*self.index.names, LABEL), len(rows))
            if shard is None:
                raise self._incomplete(name)
            for kind in self.names:
                stacked.setdefault(kind, shard[kind].new_empty(self.index.count, *self.index.shape))
                stacked[kind][rows.start : rows.stop] = shard[kind]
        moved = {kind: tensor.to(device) for kind, tensor in stacked.items()}
        return Encodings(moved[PLAIN], moved.get(MIRRORED), self.labels)

    def _open(self, name: str, rows: range) -> Any:
        """A shard, open for reading. Raises: GankitError: it is missing, or cannot be one of the folder."""
        if name not in self._files:
            try:
                file: Any = safe_open(self.folder / name, framework="pt")
                sizes = {file.get_slice(kind).get_shape()[0] for kind in (*self.names, LABEL)}
            except (OSError, SafetensorError):
                raise self._incomplete(name) from None
            if sizes != {len(rows)}:
                raise self._incomplete(name)
            self._files[name] = file
        return self._files[name]

    def _incomplete(self, name: str) -> GankitError:
        return GankitError(f"{self.folder}: {name} is missing or damaged; repeat `gankit data encode` to complete it")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}}
