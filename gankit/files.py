"""Atomic writes, safe opening of regular files, and the data folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from .errors import GankitError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path to write to. It replaces ``path`` on success and is deleted on an exception."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)  # writing to a symbolic link of this name would change its target
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def output_file(path: Path) -> Iterator[Path]:
    """Like `whole_file`, in a folder that is created if it is missing.

    Raises:
        GankitError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            yield temporary
    except OSError as error:
        raise GankitError(f"{path}: cannot be written: {error.strerror or error}") from None


def read_failure(path: Path, error: OSError) -> str:
    """A message for a file that could not be read, which says nothing about its content, with the remedy."""
    if isinstance(error, PermissionError):
        return f"{path}: cannot be read: permission denied; change its permissions, or use the account that wrote it"
    if error.errno is None:  # our own, such as that of `open_regular`
        return f"{path}: cannot be read: {error}"
    return (
        f"{path}: cannot be read: {error.strerror or error}; this does not mean that it is damaged: "
        "check the disk or network, and try again"
    )


def flush_to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk.

    Windows cannot open folders and keeps their names without it. It flushes only files that are open for writing.
    """
    is_folder = path.is_dir()
    try:
        descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR | getattr(os, "O_BINARY", 0))
    except PermissionError:
        if is_folder:
            return
        raise
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading.

    Raises:
        OSError: it cannot be opened, or is a pipe or device, whose reading could block forever.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("is not a regular file")
    return os.fdopen(descriptor, "rb")


def data_root() -> Path:
    """The folder of datasets and of caches computed from them: ``$GANKIT_DATA_DIR``, or ``data`` if that is unset."""
    return Path(os.environ.get("GANKIT_DATA_DIR") or "data").expanduser()
