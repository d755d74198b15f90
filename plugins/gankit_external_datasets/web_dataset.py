"""A dataset of images in WebDataset shards."""

from __future__ import annotations

import glob
import hashlib
from pathlib import Path
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor

import gankit

from .encoded_image import decode_bytes
from .labels import class_labels, summarize
from .shard_index import SampleKeys, ShardIndex, index_shards
from .table_dataset import Channels

LIBRARY = ("webdataset", "webdataset", "dataset 'webdataset'", "webdataset")  # arguments of `import_optional`


class WebDataset:
    """Images in WebDataset shards: tar files in which the files of a sample have the same name except for the suffix.

    The headers of all shards are read once, and the places of the images are kept in the data folder. Every image can
    then be read by its index, so that the order is shuffled completely and a resumed run sees the same images. The
    ``webdataset`` library expands the names of the shards and splits those of their members. Its reader is not used,
    because it reads shards from front to back, shuffles in a buffer, and cannot continue where it was.

    Args:
        path: a shard; several with braces, such as ``data/{000..099}.tar``; a pattern such as ``data/*.tar``; a folder;
            or a list of these.
        image: suffixes of the image, separated by semicolons. The first one that a sample has is taken.
        label: suffix of the label, which is a class number, or a list of numbers if ``label_size`` is set. If no sample
            has it, the data is unlabeled.
        label_field: name of the label in a label that is a mapping, as in ``label: json``.
        label_size: length of the labels if they are vectors.
        classes: names of the classes; without them, they are called 0, 1 and so on.
        channels: 1 grayscale, 2 grayscale and alpha, 3 RGB, 4 RGB and alpha.
    """

    thread_safe = True

    def __init__(
        self,
        *,
        path: str | list[str],
        image: str = "jpg;jpeg;png;webp",
        label: str = "cls",
        label_field: str | None = None,
        label_size: PositiveInt | None = None,
        classes: list[str] | None = None,
        channels: Channels = 3,
    ) -> None:
        gankit.require_optional(*LIBRARY)
        self.paths = [path] if isinstance(path, str) else path
        self.channels, self.names = channels, classes
        suffixes = tuple(suffix.strip().lower() for suffix in image.split(";"))
        self.keys = SampleKeys(suffixes, label.lower(), label_field, label_size)
        fields: dict[str, Any] = {} if label_size is None else {"label": gankit.VectorSpec(label_size)}
        self.spec = gankit.DataSpec(image=gankit.ImageSpec.any_size(channels), **fields)
        self.classes: tuple[str, ...] | None = () if label_size is None else None
        self.labels: Tensor | None = None
        self._shards: list[Path] = []
        self._identity = ""
        self._index: ShardIndex | None = None
        self._vectors: Tensor | None = None

    def prepare(self, report: gankit.Report = gankit.no_report) -> None:
        """Find the shards and index their samples. Raises: gankit.DataError: one is missing or damaged."""
        if self._index is not None:
            return
        library: Any = gankit.import_optional(*LIBRARY)
        self._shards = [shard for path in self.paths for shard in _find_shards(library, path)]
        self._identity = _identity(self._shards)
        split_name = library.tariterators.base_plus_ext
        index = index_shards(self._shards, self._identity, self.keys, split_name, report)
        self.classes = None
        if len(index.labels) and self.keys.label_size is None:
            self.labels, self.classes = class_labels(index.labels, self.names, ", ".join(self.paths))
        elif self.keys.label_size is not None:
            if not len(index.labels):
                raise gankit.DataError(f"{', '.join(self.paths)}: no sample has {self.keys.label!r}; set `label`")
            self._vectors = torch.from_numpy(index.labels)
        self._index = index

    def describe(self) -> gankit.DataDescription:
        """How many images and classes there are."""
        return summarize(len(self), self.labels, self.classes)

    def fingerprint(self) -> str:
        """A hash of the sizes of the shards, of the first and last 16 KiB of each, and of the parameters."""
        digest = hashlib.sha256(f"{self.channels} {self.keys} {self.classes} {self._identity}".encode())
        for column in self._opened:
            digest.update(column.tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self._opened.shards)

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        """The image uint8 [c h w], and its label if there is one. Raises: gankit.DataError: it is damaged."""
        found = self._opened
        shard, offset, size = self._shards[found.shards[index]], int(found.offsets[index]), int(found.sizes[index])
        where = f"{shard}: item {index} at byte {offset}"
        try:
            with shard.open("rb") as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            raise gankit.DataError(f"{where} cannot be read: {error}; restore the shard and resume") from error
        labels = self.labels if self._vectors is None else self._vectors
        return decode_bytes(data, self.channels, where), None if labels is None else labels[index]

    @property
    def _opened(self) -> ShardIndex:
        if self._index is None:
            raise RuntimeError("the dataset is empty; call prepare() first")
        return self._index


def _find_shards(library: Any, path: str) -> list[Path]:
    """The sorted shards of a path, or those of a list in braces. Raises: gankit.DataError: one is missing."""
    found: list[Path] = []
    for name in library.shardlists.expand_urls(str(Path(path).expanduser())):
        folder = Path(name)
        if folder.is_file():  # also if its name has brackets, as patterns do
            files = [folder]
        else:
            shards = folder.glob("*.tar") if folder.is_dir() else map(Path, glob.glob(name))  # noqa: PTH207  # absolute too
            files = sorted(shard for shard in shards if shard.is_file())
        if not files:
            what = "has no files *.tar" if folder.is_dir() else "does not exist"
            raise gankit.DataError(f"{name} {what}; set `path` to the shards, such as 'data/{{000..099}}.tar'")
        found += files
    return found


def _identity(shards: list[Path]) -> str:
    """A hash of the sizes and the ends of all shards, in their order. Raises: gankit.DataError: one cannot be read."""
    digest = hashlib.sha256()
    for shard in shards:
        try:
            digest.update(f"{gankit.open_image_files(shard.parent).identity(shard.name)}".encode())
        except OSError as error:
            raise gankit.DataError(f"{shard} cannot be read: {error}") from error
    return digest.hexdigest()
