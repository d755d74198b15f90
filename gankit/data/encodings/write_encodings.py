"""Writes the encodings of a dataset into a folder: shards of safetensors, and their index.

Writing can be interrupted: shards that are complete stay, and a repeated call writes the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from ... import __version__
from ...errors import DataError, GankitError
from ...files import whole_file, write_failure
from ...interfaces import Report, no_report
from ...interfaces.data_spec import IMAGE, LABEL
from ..image_cache import StreamedSource
from ..items import Item
from ..tensor_cache import load_tensors, save_tensors
from ..threads import map_items
from .encoding_index import FORMAT, INDEX, EncodingIndex, made_from, require_same_index
from .encodings import TASK, encode_images, names_of
from .image_codec import BATCH, ImageCodec

HEADER_BYTES = 1024  # of a shard, at most


def write_encodings(
    folder: Path,
    source: StreamedSource,
    codec: ImageCodec,
    mirrored: bool,
    shard_bytes: int,
    report: Report = no_report,
) -> EncodingIndex:
    """Encode all images of a dataset. One shard is in memory at a time.

    Args:
        folder: to write to. Complete shards of an interrupted call are kept.
        source: of the images.
        codec: with weights, by whose fingerprint its encodings are recognized.
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
        require_same_index(folder, index)
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
    except OSError as error:
        raise GankitError(f"{write_failure(folder, error)}; repeat the command to continue") from None


def _encode_shard(source: StreamedSource, codec: ImageCodec, names: Iterable[str], rows: range, report: Report) -> Item:
    """The encodings and labels of some images."""
    labels: list[Tensor] = []

    def batches() -> Iterator[Tensor]:
        items = map_items(source.dataset, source.item, rows)
        while batch := list(islice(items, BATCH)):
            report(TASK, rows.start + len(labels), len(source.dataset))
            labels.extend(item[LABEL] for item in batch)
            yield torch.stack([item[IMAGE] for item in batch])

    encodings = encode_images(batches(), len(rows), codec, names)
    return {**encodings, LABEL: torch.stack(labels)}
