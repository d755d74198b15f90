"""A folder with the encodings of a dataset: shards of safetensors, and an index of what they were made from.

Writing can be interrupted: shards that are complete stay, and a repeated call writes the others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .. import __version__
from ..errors import DataError, GankitError
from ..files import whole_file
from ..interfaces import Report, no_report
from ..interfaces.data_spec import IMAGE, LABEL
from .encodings import MIRRORED, PLAIN, TASK, Encodings, encode_images, identity_of, names_of
from .fingerprint import data_fingerprint
from .image_cache import Indices, StreamedSource
from .image_codec import BATCH, ImageCodec
from .items import Item
from .order import Flips
from .tensor_cache import load_tensors, save_tensors
from .threads import map_in_threads

INDEX = "index.json"
HEADER_BYTES = 1024  # of a shard, at most
FORMAT = 1


@dataclass(frozen=True)
class EncodingIndex:
    """What a folder contains.

    Attributes:
        format: of the folder.
        gankit: the version that wrote it.
        made_from: fingerprints of the data and the codec, and how the images were resized.
        names: of the tensors of encodings in each shard, next to the labels.
        count: the number of images.
        rows: images of each shard but the last one.
        shape: of an encoding.
    """

    format: int
    gankit: str
    made_from: dict[str, Any]
    names: tuple[str, ...]
    count: int
    rows: int
    shape: tuple[int, int, int]

    @property
    def shards(self) -> list[tuple[str, range]]:
        """The name of each shard, and the images in it."""
        total = -(-self.count // self.rows)
        starts = range(0, self.count, self.rows)
        return [
            (f"encodings-{number:05}-of-{total:05}.safetensors", range(start, min(start + self.rows, self.count)))
            for number, start in enumerate(starts)
        ]


def made_from(dataset: Any, source: StreamedSource, codec: ImageCodec) -> dict[str, Any]:
    """What the encodings of a dataset depend on."""
    return {"data": data_fingerprint(dataset), **identity_of(codec, source.spec.image, source.fit)}


def write_encodings(
    folder: Path,
    source: StreamedSource,
    codec: ImageCodec,
    mirrored: bool,
    shard_bytes: int,
    report: Report = no_report,
) -> EncodingIndex:
    """Encode all images of a dataset. The memory that this takes is bounded by the size of a shard.

    Args:
        folder: to write to. Complete shards of an interrupted call are kept.
        source: of the images.
        codec: with weights; without any, nothing tells its encodings from those of another one.
        mirrored: whether to encode the mirrored images as well.
        shard_bytes: the largest size of a file.
        report: called with the progress.

    Raises:
        GankitError: the folder contains something else, or cannot be written; or a shard is too small for an image.
    """
    names, count = names_of(mirrored), len(source.dataset)
    if not count:
        raise DataError("the dataset is empty")
    label_bytes = source.item(0)[LABEL].nbytes
    rows = min(count, (shard_bytes - HEADER_BYTES) // (len(names) * codec.bytes_of_encoding + label_bytes))
    if rows < 1:
        raise GankitError(f"a shard of {shard_bytes:,} bytes is smaller than the encodings of an image; raise its size")
    rows -= rows % BATCH if rows > BATCH else 0  # the batches of the codec are those of encoding all images at once
    about = made_from(source.dataset, source, codec)
    index = EncodingIndex(FORMAT, __version__, about, names, count, rows, codec.encoded.shape)
    with _writing(folder):
        _require_same_index(folder, index)
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(folder / INDEX) as temporary:
            temporary.write_text(json.dumps(asdict(index), indent=2) + "\n", encoding="utf-8")
    for name, images in index.shards:
        if load_tensors(folder / name, (*names, LABEL), len(images)) is None:
            shard = _encode_shard(source, codec, names, images, report)
            with _writing(folder):
                save_tensors(folder / name, shard)
    report(TASK, count, count)
    return index


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """A block that writes to the folder. Raises: GankitError: it cannot."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise GankitError(f"{folder}: cannot be written: {reason}; repeat the command, which then goes on") from None


def _encode_shard(source: StreamedSource, codec: ImageCodec, names: Iterable[str], rows: range, report: Report) -> Item:
    """The encodings and labels of some images."""
    labels: list[Tensor] = []

    def batches() -> Iterator[Tensor]:
        items = map_in_threads(source.item, rows)
        while batch := list(islice(items, BATCH)):
            report(TASK, rows.start + len(labels), len(source.dataset))
            labels.extend(item[LABEL] for item in batch)
            yield torch.stack([item[IMAGE] for item in batch])

    encodings = encode_images(batches(), len(rows), codec, names)
    return {**encodings, LABEL: torch.stack(labels)}


class StoredEncodings:
    """Encodings in a folder, which are read from it when they are used.

    Args:
        folder: of `write_encodings`.
        expected: of `made_from`.
        mirrored: whether mirrored images are read.

    Attributes:
        labels: of all items, [n] or [n v].

    Raises:
        DataError: the folder has no encodings, or not all of them, or they were made from something else.
    """

    def __init__(self, folder: Path, expected: Mapping[str, Any], mirrored: bool) -> None:
        self.folder, self.names, self.index = folder, names_of(mirrored), _read_index(folder)
        for key, value in expected.items():
            if (found := self.index.made_from.get(key)) != value:
                raise DataError(
                    f"{folder}: its encodings were made with another {key}: {_shown(found)} there, {_shown(value)} in "
                    "this run; use the recipe that they were made with, or encode the data again into another folder"
                )
        if mirrored and MIRRORED not in self.index.names:
            raise DataError(
                f"{folder}: has no encodings of mirrored images, which loader.flip needs; encode the data again with "
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
        shards, rows = self.index.shards, self.index.rows
        found = []
        for index, flip in zip(indices.tolist(), flips.tolist(), strict=True):
            name = MIRRORED if flip and MIRRORED in self.names else PLAIN
            row = index % rows
            found.append(self._open(*shards[index // rows]).get_slice(name)[row : row + 1])
        return torch.cat(found)

    def load(self, device: torch.device) -> Encodings:
        """All encodings in memory. Raises: DataError: a file is damaged."""
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
        """A shard, open for reading. Raises: DataError: it is missing, or cannot be one of the folder."""
        if name not in self._files:
            try:
                file: Any = safe_open(self.folder / name, framework="pt")
                shapes = [file.get_slice(kind).get_shape() for kind in self.names]
            except (OSError, SafetensorError):
                raise self._incomplete(name) from None
            if any(shape != [len(rows), *self.index.shape] for shape in shapes):
                raise self._incomplete(name)
            self._files[name] = file
        return self._files[name]

    def _incomplete(self, name: str) -> DataError:
        return DataError(f"{self.folder}: {name} is missing or damaged; repeat `gankit data encode` to complete it")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}}


def _read_index(folder: Path) -> EncodingIndex:
    """Raises: DataError: the folder has none, or one of another version."""
    try:
        index = TypeAdapter(EncodingIndex).validate_json((folder / INDEX).read_bytes())
    except (OSError, ValidationError):
        raise DataError(f"{folder}: is not a folder of encodings: it lacks a valid {INDEX}") from None
    if index.format != FORMAT or index.rows < 1:
        raise DataError(f"{folder}: was written by gankit {index.gankit} in another format; encode the data again")
    return index


def _require_same_index(folder: Path, index: EncodingIndex) -> None:
    """Raises: GankitError: the folder contains something else than some of these encodings."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        found = asdict(_read_index(folder))
    except DataError as error:
        raise GankitError(f"{error}; choose another folder") from None
    wanted = asdict(index)
    for key, value in {**wanted, **index.made_from}.items():
        if key not in ("gankit", "made_from") and {**found, **found["made_from"]}.get(key) != value:
            raise GankitError(f"{folder}: contains encodings with another {key!r}; choose another folder")


def _shown(value: object) -> str:
    return str(value)[:40]
