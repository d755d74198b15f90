"""Zips of a stranger, opened in bounded time and memory."""

from __future__ import annotations

import io
import weakref
import zipfile
from pathlib import Path

from ..errors import DataError
from ..files import open_regular

MAX_ENTRIES = 500_000  # Python's zipfile takes half a kilobyte and five microseconds for each
BYTES_AN_ENTRY = 512  # of the directory of the zip, on average
ENTRY = b"PK\1\2"  # what each entry there begins with


def open_zip(path: Path, most: int = MAX_ENTRIES) -> zipfile.ZipFile:
    """A zip of up to ``most`` entries, to read.

    Raises:
        DataError: it has more, which is found out before they are read, or is no zip that can be read.
    """
    file = None
    try:
        file = _Counting(path, most)
        archive = zipfile.ZipFile(file)
    except Exception as error:  # on damaged data, zipfile raises nearly anything
        if file is not None:
            file.close()
        if isinstance(error, DataError):
            raise
        reason = (isinstance(error, OSError) and error.strerror) or error or type(error).__name__
        raise DataError(f"{path} is no readable zip: {reason}; make it anew") from error
    file.most = None
    weakref.finalize(archive, file.close)
    return archive


class _Counting(io.BufferedReader):
    """A file that counts the entries in what is read, as long as it has a limit.

    What the end of a zip says of their number may be a lie, and is not what zipfile goes by.
    """

    def __init__(self, path: Path, most: int) -> None:
        super().__init__(open_regular(path).detach())
        self.path = path
        self.most: int | None = most

    def read(self, size: int | None = -1, /) -> bytes:
        if self.most is None:
            return super().read(size)
        longest = max(self.most * BYTES_AN_ENTRY, 2**20)
        if size is not None and size > longest:
            raise DataError(
                f"{self.path}: its list of entries has {size:,} bytes, and {longest:,} is the limit of a zip; "
                "unpack it and name the folder"
            )
        content = super().read(size)
        if (count := content.count(ENTRY)) > self.most:
            raise DataError(
                f"{self.path} has {count:,} entries, and {self.most:,} is the limit of a zip; "
                "unpack it and name the folder"
            )
        return content
