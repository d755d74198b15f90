"""The index of a folder of encodings: what they were made from, and which images are in which file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ...errors import GankitError
from ..fingerprint import data_fingerprint
from ..image_cache import Source
from .encodings import identity_of
from .image_codec import ImageCodec

INDEX = "index.json"
FORMAT = 1
MAX_SHOWN = 40  # characters


@dataclass(frozen=True)
class EncodingIndex:
    """The contents of a folder.

    Attributes:
        format: of the folder.
        gankit: the version that wrote it.
        made_from: fingerprints of the data and the codec, and how the images were resized.
        names: of the tensors of encodings in each shard, next to the labels.
        count: the number of images.
        shard_rows: images of each shard but the last one.
        shape: of an encoding.
    """

    format: int
    gankit: str
    made_from: dict[str, Any]
    names: tuple[str, ...]
    count: int
    shard_rows: int
    shape: tuple[int, int, int]

    @cached_property
    def shards(self) -> list[tuple[str, range]]:
        """The name of each shard, and the images in it."""
        total = -(-self.count // self.shard_rows)
        starts = range(0, self.count, self.shard_rows)
        return [
            (f"encodings-{number:05}-of-{total:05}.safetensors", range(start, min(start + self.shard_rows, self.count)))
            for number, start in enumerate(starts)
        ]


def made_from(dataset: Any, source: Source, codec: ImageCodec) -> dict[str, Any]:
    """The values that determine the encodings of a dataset."""
    return {"data": data_fingerprint(dataset), **identity_of(codec, source.spec.image, source.fit)}


def read_index(folder: Path) -> EncodingIndex:
    """Raises: GankitError: the folder has none, or one of another version."""
    try:
        index = TypeAdapter(EncodingIndex).validate_json((folder / INDEX).read_bytes())
    except (OSError, ValidationError):
        raise GankitError(f"{folder}: is not a folder of encodings: it lacks a valid {INDEX}") from None
    if index.format != FORMAT or index.shard_rows < 1:
        raise GankitError(f"{folder}: was written by gankit {index.gankit} in another format; encode the data again")
    return index


def require_same_index(folder: Path, index: EncodingIndex) -> None:
    """Raises: GankitError: the folder contains something else than some of these encodings."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        found = read_index(folder)
    except GankitError as error:
        raise GankitError(f"{error}; choose another folder") from None
    there, here = ({**one.made_from, **asdict(one)} for one in (found, index))
    for key in here:
        if key not in ("gankit", "made_from") and there.get(key) != here[key]:
            raise GankitError(
                f"{folder}: contains other encodings: `{key}` is {shown(there.get(key))} there and {shown(here[key])} "
                "here; choose another folder"
            )


def shown(value: object) -> str:
    """A value for a message."""
    return str(value)[:MAX_SHOWN]
