"""Append-only logs: one JSON object a line."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .errors import GankitError


class JsonLines:
    """A log that can be cut back to where a checkpoint stood.

    Args:
        path: the file; made when the first line is written.
        keep_bytes: cut the file to this length first (on resume); None keeps all of it.

    Raises:
        GankitError: there is a link of that name, or something else that is no file.
    """

    def __init__(self, path: Path, keep_bytes: int | None = None) -> None:
        self.path = path
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise GankitError(f"{path}: is no file but leads elsewhere; nothing is written there")
        if keep_bytes is not None and path.exists():
            os.truncate(path, max(0, min(keep_bytes, path.stat().st_size)))
        self._file = path.open("a", encoding="utf-8")

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one object; NaN and infinities, which JSON lacks, become strings.

        Numbers of torch and numpy become plain ones, and whatever else JSON lacks becomes text.
        """
        self._file.write(json.dumps(_plain(record), default=str) + "\n")
        self._file.flush()

    def sync(self) -> int:
        """Put all lines on the disk. Returns the length of the file in bytes."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        self._file.close()

    @staticmethod
    def read(path: Path) -> Iterator[dict[str, Any]]:
        """The objects of a log; a last line that a crash cut short is left out."""
        if not path.exists():
            return
        with path.open(encoding="utf-8") as file:
            for line in file:
                if line.endswith("\n"):
                    yield json.loads(line)


def _plain(value: Any) -> Any:
    if getattr(value, "shape", None) == ():  # a number of torch's or numpy's
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
