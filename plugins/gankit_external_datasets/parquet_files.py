"""A dataset of images in parquet files."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any

from pydantic import PositiveInt

import gankit

from .columns import Columns
from .row_groups import RowGroups
from .table_dataset import Channels, Table, TableDataset

LIBRARY = ("pyarrow.parquet", "pyarrow", "dataset 'parquet'", "parquet")  # arguments of `import_optional`


class Parquet(TableDataset):
    """Images in parquet files, with a column of the bytes of image files and, optionally, one of labels.

    Columns written by Hugging Face's datasets, with ``{bytes, path}`` in each cell and the names of classes, work too.
    Files are mapped into memory and read by row group. If the images take more than 256 MiB, the order is shuffled in
    two ways: the row groups in each epoch, and the images within as many groups as fit into 256 MiB. Files with groups
    of about 100 images are best.

    Args:
        path: a file, a folder with files ``*.parquet``, or a pattern such as ``data/train-*.parquet``.
        image: column of the image; by default the only one with images. A column of texts is one of paths of files,
            relative to the folder of the parquet files.
        label: column of the label; by default the only one with named classes, otherwise one of integers that is called
            ``label``. Without such a column, the data is unlabeled.
        label_size: length of the labels if they are vectors, in a column of lists of numbers.
        images: columns of further images, by the name of their field, such as ``{source: sketch}``.
        vectors: lengths of further vectors, by the name of their column, which is that of their field too.
        channels: 1 grayscale, 2 grayscale and alpha, 3 RGB, 4 RGB and alpha.
    """

    def __init__(
        self,
        *,
        path: Path,
        image: str | None = None,
        label: str | None = None,
        label_size: PositiveInt | None = None,
        images: dict[str, str] | None = None,
        vectors: dict[str, PositiveInt] | None = None,
        channels: Channels = 3,
    ) -> None:
        gankit.require_optional(*LIBRARY)
        super().__init__(Columns(image, label, label_size, images or {}, vectors or {}), channels)
        self.path = Path(path)

    @property
    def where(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def folder(self) -> Path:
        """That of the first file."""
        return self.path if self.path.is_dir() else self.path.parent

    @property
    def blocks(self) -> gankit.Blocks | None:
        """The row groups, of which several are shuffled together, if they do not all fit into memory."""
        return self._opened.blocks(self._columns.names()) if isinstance(self._opened, RowGroups) else None

    def open(self, report: gankit.Report) -> Table:
        """Read the footers of the files. Raises: gankit.DataError: there are none, or one is damaged."""
        gankit.import_optional(*LIBRARY)
        return RowGroups(self._files(), map_file, report)

    def _files(self) -> list[str]:
        """The sorted files. Raises: gankit.DataError: there are none."""
        if self.path.is_file():
            return [str(self.path)]
        found = self.path.rglob("*.parquet") if self.path.is_dir() else map(Path, glob.glob(str(self.path)))  # noqa: PTH207
        files = sorted(str(path) for path in found if path.is_file())
        if not files:
            what = "has no files *.parquet" if self.path.is_dir() else "does not exist"
            raise gankit.DataError(f"{self.path} {what}; set `path` to a parquet file, a folder of them, or a pattern")
        return files


def map_file(name: str) -> Any:
    """A file mapped into memory."""
    import pyarrow as pa

    return pa.memory_map(name)
