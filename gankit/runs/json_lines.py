"""Append-only logs with one JSON object per line, and bounded reading of untrusted JSON."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import GankitError
from ..files import open_regular, read_failure, writing

MAX_LINE = 2**22  # bytes
MAX_BYTES = 2**27
MAX_DEPTH = 40


def parse_object(text: bytes) -> dict[str, Any]:
    """Parse a JSON object. Raises: ValueError: the text is not a JSON object, or is nested too deeply."""
    try:
        value = json.loads(text.decode())
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")
    if _is_deeper(value, MAX_DEPTH):
        raise ValueError("is nested too deeply")
    return value


def read_object(path: Path, max_bytes: int) -> dict[str, Any]:
    """Read a JSON object from a file of up to ``max_bytes``.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is larger, or does not hold a JSON object.
    """
    with open_regular(path) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"is larger than {max_bytes:,} bytes")
    return parse_object(content)


class JsonLines:
    """An append-only log that can be truncated to its length at a checkpoint.

    Args:
        path: the file, which is created if missing.
        keep_bytes: truncate the file to this length first, for resuming; None keeps all of it.

    Raises:
        GankitError: ``path`` is a link or not a regular file. Every method raises it if the file cannot be written.
    """

    def __init__(self, path: Path, keep_bytes: int | None = None) -> None:
        self.path = path
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise GankitError(f"{path}: is a link or not a regular file, which is not written to; remove it")
        with writing(self.path):
            if keep_bytes is not None and path.exists():
                os.truncate(path, max(0, min(keep_bytes, path.stat().st_size)))
            self._file = path.open("ab", buffering=0)  # unbuffered, so that a full disk fails at once

    def append(self, record: Mapping[str, Any]) -> None:
        """Append one object, completely or not at all.

        Scalars of torch and numpy become numbers. NaN, infinity and all types that JSON lacks become strings.
        """
        line = (json.dumps(_plain(record), default=str) + "\n").encode()
        with writing(self.path):
            before = os.fstat(self._file.fileno()).st_size
            try:
                if self._file.write(line) != len(line):  # the disk is full, and a part was written
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                with suppress(OSError):
                    os.truncate(self._file.fileno(), before)
                raise

    def sync(self) -> int:
        """Flush all lines to the disk. Returns: the length of the file in bytes."""
        with writing(self.path):
            os.fsync(self._file.fileno())
            return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        self._file.close()

    @staticmethod
    def read(path: Path) -> Iterator[dict[str, Any]]:
        """Iterate over the objects of a log. An incomplete last line, as a crash leaves it, is ignored.

        Raises:
            OSError: the file cannot be read.
            ValueError: a line is not a JSON object, or is too long.
        """
        if not path.exists():
            return
        with open_regular(path) as file:
            while line := file.readline(MAX_LINE + 1):
                if len(line) > MAX_LINE:
                    raise ValueError(f"a line is longer than {MAX_LINE:,} bytes")
                if line.endswith(b"\n"):
                    yield parse_object(line)


def read_log(path: Path, max_bytes: int = MAX_BYTES) -> Iterator[dict[str, Any]]:
    """Iterate over the objects of a log.

    Raises:
        GankitError: a line is not a JSON object, or the file cannot be read or is larger than ``max_bytes``.
    """
    try:
        if path.exists() and path.stat().st_size > max_bytes:
            raise GankitError(f"{path}: is larger than {max_bytes:,} bytes; shorten it")
        yield from JsonLines.read(path)
    except OSError as error:
        raise GankitError(read_failure(path, error)) from None
    except ValueError as error:
        raise GankitError(f"{path}: cannot be read: {error}; delete the damaged line") from None


def _is_deeper(container: dict[str, Any] | list[Any], levels: int) -> bool:
    items = container.values() if isinstance(container, dict) else container
    inner = [item for item in items if isinstance(item, (dict, list))]
    return not levels or any(_is_deeper(item, levels - 1) for item in inner)


def _plain(value: Any) -> Any:
    if getattr(value, "shape", None) == ():  # a scalar of torch or numpy
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
