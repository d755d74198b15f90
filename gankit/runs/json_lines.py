"""Append-only logs: one JSON object a line; and JSON of a stranger, read with care."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import GankitError
from ..files import open_regular

MAX_LINE = 2**22  # bytes
MAX_BYTES = 2**27
MAX_DEPTH = 40


def parse_object(text: str | bytes) -> dict[str, Any]:
    """A JSON object. Raises: ValueError: it is none, or is nested beyond what anybody writes."""
    try:
        value = json.loads(text if isinstance(text, str) else text.decode())
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("is no JSON object")
    inside: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        inside = [item for part in inside for item in (part.values() if isinstance(part, dict) else part)]
        inside = [item for item in inside if isinstance(item, (dict, list))]
        if not inside:
            return value
    raise ValueError("is nested too deeply")


def read_object(path: Path, most: int) -> dict[str, Any]:
    """The JSON object in a file of up to ``most`` bytes. Raises: OSError; ValueError: it is none."""
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"is larger than {most:,} bytes")
    return parse_object(content)


class JsonLines:
    """A log that can be cut back to where a checkpoint stood.

    Args:
        path: the file; made where there is none.
        keep_bytes: cut the file to this length first (on resume); None keeps all of it.

    Raises:
        GankitError: there is a link of that name, or something else that is no file; or, by every method, the file
            cannot be written.
    """

    def __init__(self, path: Path, keep_bytes: int | None = None) -> None:
        self.path = path
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise GankitError(f"{path}: is no file but leads elsewhere; nothing is written there")
        with self._written():
            if keep_bytes is not None and path.exists():
                os.truncate(path, max(0, min(keep_bytes, path.stat().st_size)))
            self._file = path.open("ab", buffering=0)  # no buffer: what a full disk refuses must not come later

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one object, whole or not at all; NaN and infinities, which JSON lacks, become strings.

        Numbers of torch and numpy become plain ones, and whatever else JSON lacks becomes text.
        """
        line = (json.dumps(_plain(record), default=str) + "\n").encode()
        with self._written():
            before = os.fstat(self._file.fileno()).st_size
            try:
                if self._file.write(line) != len(line):  # the disk holds a part of it
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                with suppress(OSError):
                    os.truncate(self._file.fileno(), before)
                raise

    def sync(self) -> int:
        """Put all lines on the disk. Returns the length of the file in bytes."""
        with self._written():
            os.fsync(self._file.fileno())
            return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        self._file.close()

    @staticmethod
    def read(path: Path) -> Iterator[dict[str, Any]]:
        """The objects of a log; a last line that a crash cut short is left out.

        Raises:
            OSError: it cannot be read.
            ValueError: a line is no object, or longer than any that `append` is given.
        """
        if not path.exists():
            return
        with open_regular(path) as file:
            while line := file.readline(MAX_LINE + 1):
                if len(line) > MAX_LINE:
                    raise ValueError(f"a line is longer than {MAX_LINE:,} bytes")
                if line.endswith(b"\n"):
                    yield parse_object(line)

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise GankitError(f"{self.path}: cannot be written: {error.strerror or error}") from error


def read_log(path: Path, most: int = MAX_BYTES) -> Iterator[dict[str, Any]]:
    """The objects of a log, one by one.

    Raises:
        GankitError: a line is no JSON, or the file cannot be read or is larger than ``most`` bytes.
    """
    try:
        if path.exists() and path.stat().st_size > most:
            raise GankitError(f"{path}: is larger than {most:,} bytes; shorten it")
        yield from JsonLines.read(path)
    except (OSError, ValueError) as error:
        raise GankitError(f"{path}: cannot be read: {error}; delete the damaged line") from None


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
