"""Rows of parquet files by index: the row groups that were used last stay in memory."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

import gankit

from .columns import class_names

KEPT_BYTES = 2**28  # of row groups in memory, in each process
MAX_GROUP_BYTES = 2**30
SAMPLED_BYTES = 2**14  # of the start and the end of a file, which fingerprints contain
TASK = "opening parquet files"


class _Group(NamedTuple):
    """A row group: its file, and its number there."""

    file: int
    number: int


class RowGroups:
    """The rows of several parquet files as one table.

    A parquet file is compressed in row groups, so that one row costs reading its group. The groups that were read last
    are kept, up to 256 MiB in each process. Larger data should be read in the order of `blocks`.

    Args:
        names: of the files, for messages.
        open_file: opens one of them for reading, at any position.
        report: called with the progress.

    Raises:
        gankit.DataError: a file is damaged or has other columns than the first one.
    """

    def __init__(
        self, names: Sequence[str], open_file: Callable[[str], Any], report: gankit.Report = gankit.no_report
    ) -> None:
        self._names, self._open_file = names, open_file
        self._metadata: list[Any] = []
        self._groups: list[_Group] = []
        self._digest = hashlib.sha256()
        rows: list[int] = []
        for number, name in enumerate(names):
            report(TASK, number, len(names))
            metadata = self._read_metadata(number)
            schema = metadata.schema.to_arrow_schema()
            if number == 0:
                self.schema = schema
                self._classes = {column: class_names(schema, column) for column in schema.names}
            elif not schema.equals(self.schema):
                raise gankit.DataError(
                    f"{name} has other columns than {names[0]}: {schema.names} with other types or names"
                )
            elif other := [column for column in schema.names if class_names(schema, column) != self._classes[column]]:
                raise gankit.DataError(
                    f"{name} names other classes in column {other[0]!r} than {names[0]}; encode the labels of all "
                    "files together"
                )
            self._metadata.append(metadata)
            self._groups += [_Group(number, group) for group in range(metadata.num_row_groups)]
            rows += [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        report(TASK, len(names), len(names))
        self._fingerprint, self._rows = self._digest.hexdigest(), rows
        del self._digest
        self._starts = np.cumsum([0, *rows])
        self._forget()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def blocks(self, columns: Sequence[str]) -> gankit.Blocks | None:
        """The row groups, for a shuffled order that reads each of them once; None if all fit into memory."""
        sizes = [self._bytes_of(group, columns) for group in self._groups]
        if sum(sizes) <= KEPT_BYTES:
            return None
        return gankit.Blocks([rows for rows in self._rows if rows], max(1, KEPT_BYTES // max(sizes)))

    def row(self, index: int, columns: Sequence[str]) -> Mapping[str, Any]:
        group = int(np.searchsorted(self._starts, index, side="right")) - 1
        table = self._read_group(group, columns)
        position = index - int(self._starts[group])
        return {name: table.column(name)[position].as_py() for name in columns}

    def column(self, name: str) -> Any:
        import pyarrow as pa

        parts = [self._read(group, [name]).column(name) for group in self._groups]
        return pa.chunked_array([chunk for part in parts for chunk in part.chunks], self.schema.field(name).type)

    def fingerprint(self, columns: Sequence[str]) -> str:
        """A hash of the footers, which have the sizes of all columns in each group, and of the ends of each file."""
        return self._fingerprint

    def _read_metadata(self, number: int) -> Any:
        import pyarrow.parquet as pq

        name = self._names[number]
        try:
            with self._open_file(name) as file:
                metadata = pq.read_metadata(file)
                self._digest.update(f"{metadata.to_dict()}".encode())
                file.seek(0)
                self._digest.update(file.read(SAMPLED_BYTES))
                file.seek(max(0, file.seek(0, 2) - SAMPLED_BYTES))
                self._digest.update(file.read(SAMPLED_BYTES))
        except Exception as error:  # pyarrow and file systems raise various types
            raise _unreadable(name, error) from error
        return metadata

    def _bytes_of(self, group: _Group, columns: Sequence[str]) -> int:
        metadata = self._metadata[group.file].row_group(group.number)
        chunks = (metadata.column(number) for number in range(metadata.num_columns))
        return sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns)

    def _read(self, group: _Group, columns: Sequence[str]) -> Any:
        """A row group. Raises: gankit.DataError: it is damaged, or too large."""
        import pyarrow.parquet as pq

        name, size = self._names[group.file], self._bytes_of(group, columns)
        if size > MAX_GROUP_BYTES:
            raise gankit.DataError(
                f"{name}: a row group has {size / 2**30:.1f} GiB, above the limit of {MAX_GROUP_BYTES // 2**30} GiB; "
                "write the file again with fewer rows in each group, such as row_group_size=100"
            )
        try:
            with self._open_file(name) as source:
                file = pq.ParquetFile(source, metadata=self._metadata[group.file])
                return file.read_row_group(group.number, columns=[*columns], use_threads=False)
        except Exception as error:
            raise _unreadable(name, error) from error

    def _read_group(self, number: int, columns: Sequence[str]) -> Any:
        """Columns of a row group, from memory if they were read before."""
        key = number, tuple(columns)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            table = self._read(self._groups[number], columns)
            self._kept[key] = table
            while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > KEPT_BYTES:
                self._kept.popitem(last=False)
            return table

    def _forget(self) -> None:
        self._kept: OrderedDict[tuple[int, tuple[str, ...]], Any] = OrderedDict()
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_kept", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()


def _unreadable(name: str, error: Exception) -> gankit.DataError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return gankit.DataError(f"{name} cannot be read as a parquet file: {gankit.truncate(reason, 200)}; save it again")
