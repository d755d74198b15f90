"""Finds the samples of tar files (WebDataset shards), once: the places of their images, and their labels."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import gankit

FORMAT = 1
FOLDER = "gankit-shards"  # in the data folder
MAX_NAME = 1_000  # characters of a member's name
MAX_LABEL_BYTES = 2**20
MAX_IMAGE_BYTES = 2**28
TASK = "indexing shards"


class ShardIndex(NamedTuple):
    """The samples of all shards, in their order.

    Attributes:
        shards: the number of the shard of each sample [n].
        offsets: where its image begins in the shard, in bytes [n].
        sizes: of its image, in bytes [n].
        labels: int64 [n], fp32 [n v], or [0] without labels.
    """

    shards: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    labels: NDArray[Any]


class SampleKeys(NamedTuple):
    """Which members of a sample are used.

    Attributes:
        images: suffixes of the image, of which the first that a sample has is taken.
        label: suffix of the label; a ``json`` has it under ``field``.
        field: see ``label``.
        label_size: the length of labels that are vectors; None for classes.
    """

    images: tuple[str, ...]
    label: str
    field: str | None
    label_size: int | None


def index_shards(
    shards: Sequence[Path], identity: str, keys: SampleKeys, split_name: Callable[[str], Any], report: gankit.Report
) -> ShardIndex:
    """The index of the shards, from the data folder or from their headers.

    Args:
        shards: tar files without compression.
        identity: a hash of their content.
        keys: of the members to use.
        split_name: splits the name of a member into its sample and its suffix; None as the sample ignores it.
        report: called with the progress.

    Raises:
        gankit.DataError: a shard is damaged, or a sample lacks its image or label.
    """
    changed = [shard.stat().st_mtime_ns for shard in shards]  # other labels may leave the size and both ends the same
    key = hashlib.sha256(f"{FORMAT} {identity} {changed} {keys}".encode()).hexdigest()
    path = gankit.data_root() / FOLDER / f"{key}.npz"
    # missing or damaged: numpy raises many types
    with suppress(Exception), np.load(path, allow_pickle=False) as stored:
        return ShardIndex(**{name: stored[name] for name in ShardIndex._fields})
    places: list[tuple[int, int, int]] = []
    labels: list[Any] = []
    for number, shard in enumerate(shards):
        report(TASK, number, len(shards))
        for name, members, file in _samples(shard, split_name):
            where = f"{shard}: sample {name!r}"
            image = next((members[suffix] for suffix in keys.images if suffix in members), None)
            if image is None:
                raise gankit.DataError(
                    f"{where} has no image ({';'.join(keys.images)}): it has {', '.join(map(repr, members))}; "
                    "set `image` to the suffixes of the images, or write the shards again without the sample"
                )
            if image.size > MAX_IMAGE_BYTES:
                raise gankit.DataError(f"{where}: {image.size:,} bytes are too many for an image; write it again")
            places.append((number, image.offset_data, image.size))
            label = _label(members, file, keys, where)
            if (label is None) != (not labels) and len(places) > 1:
                raise gankit.DataError(
                    f"{where} {'lacks' if label is None else 'has'} a label, unlike the samples before"
                )
            labels += [] if label is None else [label]
    report(TASK, len(shards), len(shards))
    table = np.array(places, np.int64).reshape(-1, 3)
    dtype = np.int64 if keys.label_size is None else np.float32
    index = ShardIndex(table[:, 0], table[:, 1], table[:, 2], np.array(labels, dtype))
    with suppress(OSError):  # a disk that is full or read-only only costs the time of the next start
        path.parent.mkdir(parents=True, exist_ok=True)
        with gankit.whole_file(path) as temporary, temporary.open("wb") as written:
            np.savez(written, **index._asdict())
    return index


def _samples(
    shard: Path, split_name: Callable[[str], Any]
) -> Iterator[tuple[str, dict[str, tarfile.TarInfo], tarfile.TarFile]]:
    """Name, members by their suffixes, and tar file of each sample. Raises: gankit.DataError: the shard is damaged."""
    size = shard.stat().st_size
    try:
        with tarfile.open(shard, "r:") as file:
            name, members = None, dict[str, tarfile.TarInfo]()
            for member in file:
                file.members = []  # type: ignore[attr-defined]  # which would grow with each one
                if not member.isreg():
                    continue
                if len(member.name) > MAX_NAME or member.issparse() or member.offset_data + member.size > size:
                    raise gankit.DataError(f"{shard}: the member {member.name!r:.100} is truncated or not a plain file")
                sample, suffix = split_name(member.name)
                if sample is None:
                    continue
                if sample != name and members:
                    yield str(name), members, file
                    members = {}
                name = sample
                members[suffix.lower()] = member
            if members:
                yield str(name), members, file
            end = file.offset
        with shard.open("rb") as raw:  # tarfile takes a damaged header for the end
            raw.seek(end)
            if raw.read(tarfile.BLOCKSIZE).strip(b"\0"):
                raise gankit.DataError(f"{shard} is damaged at byte {end:,}; write it again")
    except gankit.DataError:
        raise
    except Exception as error:  # tarfile raises many types for damaged files
        raise gankit.DataError(
            f"{shard} cannot be read as a tar file without compression: {error}; decompress it, or write it again"
        ) from error


def _label(members: dict[str, tarfile.TarInfo], file: tarfile.TarFile, keys: SampleKeys, where: str) -> Any:
    """The label, an integer or a list of numbers; None without one. Raises: gankit.DataError: it is something else."""
    member = members.get(keys.label)
    if member is None:
        return None
    content = file.extractfile(member)
    assert content is not None  # a regular file has content
    text = content.read(MAX_LABEL_BYTES).decode(errors="replace").strip()
    try:
        value = json.loads(text)
        if keys.field is not None:
            value = value[keys.field]
    except (ValueError, KeyError, TypeError, RecursionError):
        field = "" if keys.field is None else f" with the field {keys.field!r}"
        raise gankit.DataError(
            f"{where}: '{keys.label}' is {text!r:.60}, but labels are numbers{field}; write class numbers"
        ) from None
    if keys.label_size is None:
        if isinstance(value, int) and abs(value) < 2**63:
            return value
        what = "a class number; set `label_field` to a field of the json, or `label_size` if labels are vectors"
    else:
        if (
            isinstance(value, list)
            and len(value) == keys.label_size
            and all(isinstance(number, float) or (isinstance(number, int) and abs(number) < 2**63) for number in value)
        ):
            return value
        what = f"{keys.label_size} numbers, as set by label_size"
    raise gankit.DataError(f"{where}: the label is {str(value)!r:.60}; expected {what}")
