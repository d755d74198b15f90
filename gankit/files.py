"""Files written whole or not at all, and the folder that data lies in."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name beside ``path`` to write to, which becomes ``path`` if all goes well and leaves no trace otherwise."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)  # a link of that name would lead elsewhere
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def open_regular(path: Path) -> BufferedReader:
    """A file to read. Raises: OSError: it cannot be opened, or is a pipe or a device, which could keep us waiting."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("is no regular file")
    return os.fdopen(descriptor, "rb")


def data_root() -> Path:
    """Where data sets lie, and what is computed from them: ``$GANKIT_DATA_DIR``, else ``data``."""
    return Path(os.environ.get("GANKIT_DATA_DIR") or "data").expanduser()
