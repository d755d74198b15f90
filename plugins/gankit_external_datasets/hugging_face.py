"""A dataset of the Hugging Face Hub, or local files, through Hugging Face's datasets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import PositiveInt

import gankit

from .columns import Columns
from .row_groups import RowGroups
from .table_dataset import Channels, Table, TableDataset, path_of, sampled_rows

FILE_BUILDERS = {".parquet": "parquet", ".arrow": "arrow", ".json": "json", ".jsonl": "json", ".csv": "csv"}
LIBRARY = ("datasets", "datasets", "dataset 'huggingface'", "huggingface")  # arguments of `import_optional`
DEFAULT_SPLIT = "train"
SAVED = ("state.json", "dataset_dict.json")  # files of a folder written by save_to_disk


class HuggingFace(TableDataset):
    """A dataset of the Hugging Face Hub by its name, or local files, through Hugging Face's ``datasets``.

    No code from the Hub is executed. The data is downloaded to the library's cache (``$HF_HOME``) and mapped into
    memory. With ``streaming``, the data must consist of parquet files, which are not copied: their row groups are read
    when they are needed, in the order of `Parquet`. Both resume exactly.

    Args:
        path: name on the Hub, such as ``uoft-cs/cifar10``, a local folder, or a local file (parquet, arrow, json, csv).
        config: name of the configuration, if there are several.
        split: such as ``train`` or ``train[:10%]``.
        revision: branch, tag or commit on the Hub. ``refs/convert/parquet`` has most datasets as parquet files.
        streaming: read the data from where it is, for data that is larger than the disk.
        image: column of the image; by default the only one with images. A column of texts is one of paths of files,
            relative to the folder of the local files.
        label: column of the label; by default the only one with named classes, otherwise one of integers that is called
            ``label``. Without such a column, the data is unlabeled.
        label_size: length of the labels if they are vectors, in a column of lists of numbers.
        images: columns of further images, by the name of their field, such as ``{source: sketch}``.
        vectors: lengths of further vectors, by the name of their column, which is that of their field too.
        channels: 1 grayscale, 2 grayscale and alpha, 3 RGB, 4 RGB and alpha.

    Raises:
        ValueError: ``streaming`` with a part of a split.
    """

    def __init__(
        self,
        *,
        path: str,
        config: str | None = None,
        split: str = DEFAULT_SPLIT,
        revision: str | None = None,
        streaming: bool = False,
        image: str | None = None,
        label: str | None = None,
        label_size: PositiveInt | None = None,
        images: dict[str, str] | None = None,
        vectors: dict[str, PositiveInt] | None = None,
        channels: Channels = 3,
    ) -> None:
        gankit.require_optional(*LIBRARY)
        super().__init__(Columns(image, label, label_size, images or {}, vectors or {}), channels)
        self.path, self.config, self.split = path, config, split
        self.revision, self.streaming = revision, streaming
        if streaming and not split.replace("_", "").replace(".", "").isalnum():
            raise ValueError(f"streaming reads whole splits; got {split!r}; leave out the brackets, or use `subset`")

    @property
    def where(self) -> str:
        """The name or path, and the split."""
        return f"{self.path} ({self.split})"

    @property
    def folder(self) -> Path:
        """That of the local files."""
        local = Path(self.path).expanduser()
        return local if local.is_dir() else local.parent

    @property
    def blocks(self) -> gankit.Blocks | None:
        """The row groups of streamed data, if they do not all fit into memory."""
        table = self._opened
        return table.blocks(self._columns.names()) if isinstance(table, RowGroups) else None

    def open(self, report: gankit.Report) -> Table:
        """Download the data, or find its files. Raises: gankit.DataError: that fails."""
        library: Any = gankit.import_optional(*LIBRARY)
        local = Path(self.path).expanduser()
        if any((local / name).is_file() for name in SAVED):
            return ArrowTable(self._saved(library, local))
        options: dict[str, Any] = {"path": str(local) if local.exists() else self.path}
        if local.is_file():
            if local.suffix.lower() not in FILE_BUILDERS:
                raise gankit.DataError(f"{local} is none of {', '.join(FILE_BUILDERS)}; set `path` to such a file")
            options = {
                "path": FILE_BUILDERS[local.suffix.lower()],
                "data_files": {self.split.split("[")[0]: str(local)},
            }
        if self.revision is not None:
            options["revision"] = self.revision
        with self._failures(library):
            if self.streaming:
                files = library.load_dataset_builder(name=self.config, **options).config.data_files
                return self._stream(files or {}, report)
            return ArrowTable(library.load_dataset(name=self.config, split=self.split, **options))

    def has_paths(self, column: str) -> bool:
        """Whether a column of images has the paths of their files. Streamed files have their bytes."""
        if super().has_paths(column):
            return True
        return not self.streaming and len(self) > 0 and path_of(self._opened.row(0, [column])[column]) is not None

    def _saved(self, library: Any, folder: Path) -> Any:
        """The split of a folder that ``save_to_disk`` has written. Raises: gankit.DataError: it has no such split."""
        if self.streaming:
            raise gankit.DataError(f"{folder}: what save_to_disk wrote cannot be streamed; set streaming: false")
        with self._failures(library):
            saved = library.load_from_disk(str(folder))
        splits = {DEFAULT_SPLIT: saved} if isinstance(saved, library.Dataset) else saved
        if self.split not in splits:
            raise gankit.DataError(f"{folder}: has the splits {', '.join(splits)}; got split: {self.split}")
        return splits[self.split]

    def _stream(self, files: Mapping[str, Sequence[str]], report: gankit.Report) -> RowGroups:
        """The parquet files of the split. Raises: gankit.DataError: there are none."""
        import fsspec

        if self.split not in files:
            raise gankit.DataError(
                f"{self.path}: there is no split {self.split!r}{gankit.did_you_mean(self.split, map(str, files))}"
            )
        names = [str(name) for name in files[self.split]]
        others = [name for name in names if not name.endswith(".parquet")]
        if others:
            raise gankit.DataError(
                f"{self.where}: streaming needs parquet files; got {others[0].rpartition('/')[2]!r}; on the Hub, "
                "try `revision: refs/convert/parquet`; otherwise use `streaming: false`"
            )
        system, _ = fsspec.core.url_to_fs(names[0])
        return RowGroups(names, system.open, report)

    @contextmanager
    def _failures(self, library: Any) -> Iterator[None]:
        """Turn errors of the library into one sentence, and hide its progress bars for local files."""
        hides = Path(self.path).expanduser().exists() and library.is_progress_bar_enabled()
        if hides:
            library.disable_progress_bars()
        try:
            yield
        except gankit.GankitError:
            raise
        except Exception as error:  # of many types, also from the network
            cause = error.__cause__ if type(error).__name__ == "DatasetGenerationError" and error.__cause__ else error
            reason = " ".join(str(cause).split()) or type(cause).__name__
            raise gankit.DataError(
                f"{self.where} cannot be loaded: {gankit.truncate(reason, 300)}; check `path`, `config` and `split`, "
                "and for data on the Hub the network and your login (hf auth login)"
            ) from error
        finally:
            if hides:
                library.enable_progress_bars()


class ArrowTable:
    """The rows of a ``datasets.Dataset``, as they are stored: images are not decoded."""

    def __init__(self, dataset: Any) -> None:
        self.schema = dataset.features.arrow_schema
        self._dataset = dataset.with_format("arrow")

    def __len__(self) -> int:
        return len(self._dataset)

    def row(self, index: int, columns: Sequence[str]) -> Mapping[str, Any]:
        row: Mapping[str, Any] = self._dataset[index].select([*columns]).to_pylist()[0]
        return row

    def column(self, name: str) -> Any:
        return self._dataset.select_columns(name)[:].column(name)

    def fingerprint(self, columns: Sequence[str]) -> str:
        """A hash of the number of rows, of the lengths of all files in them, and of the whole content of some rows.

        Paths count by the names of their files.
        """
        digest = hashlib.sha256(f"{len(self)} rows".encode())
        for index in sampled_rows(len(self)):
            for name, value in self.row(index, columns).items():
                content = value
                if isinstance(value, Mapping):
                    content = value.get("bytes") or Path(value.get("path") or "").name
                digest.update(f"{name} {content!r}".encode())
        for name in columns:
            digest.update(self._lengths(name).tobytes())
        return digest.hexdigest()

    def _lengths(self, name: str) -> Any:
        """The numbers of bytes of the files in a column, without reading them; empty if it has none."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self.column(name)
        if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
            column = pc.struct_field(column, "bytes")
        if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
            return np.empty(0, np.int64)
        return pc.fill_null(pc.binary_length(column), -1).to_numpy().astype(np.int64)
