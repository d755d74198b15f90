"""Datasets of images in a table of Arrow's format, whose columns are the fields of an item."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from torch import Tensor

import gankit

from .columns import Columns, class_names, find_columns, is_text, unused_label
from .encoded_image import decode_bytes
from .labels import class_labels, summarize

Channels = Literal[1, 2, 3, 4]
SAMPLED_ROWS = 256  # whose whole content is part of a fingerprint


class Table(Protocol):
    """The rows of a dataset."""

    schema: Any
    """A ``pyarrow.Schema``."""

    def __len__(self) -> int: ...

    def row(self, index: int, columns: Sequence[str]) -> Mapping[str, Any]:
        """Some values of a row. Raises: gankit.DataError: it cannot be read."""

    def column(self, name: str) -> Any:
        """A ``pyarrow.ChunkedArray`` of all values. Raises: gankit.DataError: it cannot be read."""

    def fingerprint(self, columns: Sequence[str]) -> str:
        """Identifies the content of these columns, without reading all of it."""


class TableDataset(ABC):
    """The common part of datasets of tables: items from columns, labels, a description and a fingerprint."""

    thread_safe = True

    def __init__(self, columns: Columns, channels: int) -> None:
        self.channels, self._columns = channels, columns
        self.spec = columns.spec(channels)
        self.classes: tuple[str, ...] | None = () if columns.label_size is None else None
        self.labels: Tensor | None = None
        self._table: Table | None = None

    @property
    @abstractmethod
    def where(self) -> str:
        """The data, for messages."""

    @abstractmethod
    def open(self, report: gankit.Report) -> Table:
        """Open the table. Raises: gankit.DataError: it cannot be read."""

    @property
    def folder(self) -> Path:
        """Where relative paths of image files begin."""
        return Path()

    def prepare(self, report: gankit.Report = gankit.no_report) -> None:
        """Open the data, choose its columns, and read all labels that are classes.

        Raises:
            gankit.DataError: it cannot be read, or a column does not fit.
        """
        if self._table is not None:
            return
        table = self.open(report)
        self._columns = find_columns(table.schema, self._columns, self.where)
        label = self._columns.label
        if label is None and self._columns.label_size is not None:
            raise gankit.DataError(
                f"{self.where}: label_size is set, but no column is known to be the label; set `label`"
            )
        if self._columns.label_size is None:
            self.classes = None
        if label is not None and self._columns.label_size is None:
            column = table.column(label)
            if column.null_count:
                first = int(column.is_null().to_numpy().argmax())
                raise gankit.DataError(
                    f"{self.where}: column {label!r} is empty for {column.null_count:,} of {len(column):,} items, "
                    f"first for item {first}; fill in these labels, or remove the items"
                )
            names = class_names(table.schema, label)
            self.labels, self.classes = class_labels(column.to_numpy(), names, f"{self.where}: column {label!r}")
        self._table = table

    def describe(self) -> gankit.DataDescription:
        """How many images and classes there are."""
        description = summarize(len(self), self.labels, self.classes)
        unused = None if self._columns.label else unused_label(self._opened.schema)
        return description if unused is None else replace(description, summary=f"{description.summary}; {unused}")

    def fingerprint(self) -> str:
        """A hash of the content as far as the table knows it, of the labels, and of the chosen columns."""
        content = self._opened.fingerprint(self._columns.names())
        digest = hashlib.sha256(f"{self.channels} {self._columns} {self.classes} {content}".encode())
        if self.labels is not None:
            digest.update(self.labels.numpy().tobytes())
        paths = [name for name in self._image_columns() if self.has_paths(name)]
        if paths:
            digest.update(self._identities(paths).encode())
        return digest.hexdigest()

    def has_paths(self, column: str) -> bool:
        """Whether a column of images has the paths of their files."""
        return is_text(self._opened.schema.field(column).type)

    def _image_columns(self) -> list[str]:
        return [name for name in (self._columns.image, *self._columns.images.values()) if name is not None]

    def _identities(self, columns: Sequence[str]) -> str:
        """The names and sizes of all files that the columns name, and the ends of some of them."""
        found: list[Any] = []
        for column in columns:
            files = [self.folder / path for path in paths_in(self._opened.column(column))]
            found += [(file.name, file.stat().st_size if file.is_file() else None) for file in files]
            for row in sampled_rows(len(files)):
                try:
                    found.append(gankit.open_image_files(files[row].parent).identity(files[row].name))
                except (OSError, gankit.DataError):  # reading the item reports it
                    found.append(None)
        return str(found)

    def __len__(self) -> int:
        return len(self._opened)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """All images uint8 [c h w], the vectors, and the label. Raises: gankit.DataError: one is damaged."""
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        columns = self._columns
        row = self._opened.row(index, columns.names())
        item = {
            field: self._decode(row[column], f"{self.where}: item {index}, column {column!r}")
            for field, column in {"image": columns.image, **columns.images}.items()
            if column is not None
        }
        item |= {name: self._vector(row[name], size, index, name) for name, size in columns.vectors.items()}
        if self.labels is not None:
            item["label"] = self.labels[index]
        elif columns.label is not None and columns.label_size is not None:
            item["label"] = self._vector(row[columns.label], columns.label_size, index, columns.label)
        return item

    def _vector(self, value: Any, size: int, index: int, column: str) -> Any:
        try:
            vector = np.asarray(value, np.float32)
        except (TypeError, ValueError):
            vector = np.empty(0, np.float32)
        if vector.shape != (size,):
            found = "nothing" if value is None else f"{len(value)} numbers"
            key = "label_size" if column == self._columns.label else f"vectors.{column}"
            raise gankit.DataError(
                f"{self.where}: item {index} has {found} in column {column!r}; expected {size}, as set by {key}"
            )
        return vector

    def _decode(self, value: Any, where: str) -> Tensor:
        """The image of a cell: the bytes of a file, its path, or Hugging Face's mapping of both."""
        if (path := path_of(value)) is not None:
            file = self.folder / path
            try:
                with gankit.open_image_files(file.parent).open(file.name) as opened:
                    return gankit.decode_image(opened, self.channels)
            except (OSError, ValueError, gankit.DataError, gankit.DecodeError) as error:
                raise gankit.DataError(f"{where}: {path!r:.200} cannot be used: {error}") from error
        if isinstance(value, Mapping):
            value = value.get("bytes")
        if not isinstance(value, bytes):
            raise gankit.DataError(f"{where}: there is no image; remove the item")
        return decode_bytes(value, self.channels, where)

    @property
    def _opened(self) -> Table:
        if self._table is None:
            raise RuntimeError("the dataset is empty; call prepare() first")
        return self._table


def sampled_rows(count: int) -> list[int]:
    """The rows of a table whose whole content is part of a fingerprint, at equal distances."""
    rows: list[int] = np.linspace(0, count - 1, min(SAMPLED_ROWS, count)).astype(int).tolist()
    return rows


def path_of(value: Any) -> str | None:
    """The path in a cell of a column of images; None if it has the bytes of the file, or nothing."""
    if isinstance(value, Mapping):
        value = value.get("path") if value.get("bytes") is None else None
    return value if isinstance(value, str) and value else None


def paths_in(column: Any) -> list[str]:
    """The paths in a column of images (a ``pyarrow.ChunkedArray``): of text, or of Hugging Face's mappings."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.struct_field(column, "path") if pa.types.is_struct(column.type) else column
    return [path for path in texts.to_pylist() if path]
