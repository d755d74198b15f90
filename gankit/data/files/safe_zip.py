"""Opens untrusted zip archives in bounded time and memory."""

from __future__ import annotations

import io
import weakref
import zipfile
from pathlib import Path

from ...errors import DataError
from ...files import open_regular

MAX_ENTRIES = 500_000  # Python's zipfile takes about 0.5 KB and 5 µs per entry
BYTES_PER_ENTRY = 512  # in the central directory, on average
ENTRY_SIGNATURE = b"PK\1\2"  # starts each entry of the central directory
UTF8_FLAG = 1 << 11


def open_zip(path: Path, most: int = MAX_ENTRIES) -> zipfile.ZipFile:
    """Open a zip for reading.

    Args:
        path: the file.
        most: the highest number of entries to accept; more are refused before they are parsed.

    Raises:
        DataError: the file has more entries, or cannot be read as a zip.
    """
    file = None
    try:
        file = _EntryLimitedFile(path, most)
        archive = zipfile.ZipFile(file)
    except Exception as error:  # zipfile raises almost any exception on damaged data
        if file is not None:
            file.close()
        if isinstance(error, DataError):
            raise
        reason = (isinstance(error, OSError) and error.strerror) or error or type(error).__name__
        raise DataError(f"{path} is not a readable zip: {reason}; create it again") from error
    file.max_entries = None
    weakref.finalize(archive, file.close)
    return archive


class _EntryLimitedFile(io.BufferedReader):
    """A file that counts the zip entries in the bytes read, until ``max_entries`` is None.

    The number stated at the end of a zip may be wrong, and zipfile ignores it.
    """

    def __init__(self, path: Path, max_entries: int) -> None:
        super().__init__(open_regular(path).detach())
        self.path = path
        self.max_entries: int | None = max_entries

    def read(self, size: int | None = -1, /) -> bytes:
        if self.max_entries is None:
            return super().read(size)
        max_bytes = max(self.max_entries * BYTES_PER_ENTRY, 2**20)
        if size is not None and size > max_bytes:
            raise DataError(
                f"{self.path}: its list of entries has {size:,} bytes, above the limit of {max_bytes:,}; "
                "extract the zip and use the folder"
            )
        content = super().read(size)
        if (count := content.count(ENTRY_SIGNATURE)) > self.max_entries:
            raise DataError(
                f"{self.path} has {count:,} entries, above the limit of {self.max_entries:,}; "
                "extract the zip and use the folder"
            )
        return content


def entry_names(archive: zipfile.ZipFile) -> dict[str, str]:
    """The name under which zipfile knows each entry, by its name with slashes and in the encoding it was written in.

    Some tools on Windows write backslashes. A name without the flag for UTF-8 is cp437 by the standard, but macOS
    and others write UTF-8.
    """
    return {_name_as_written(entry).replace("\\", "/"): entry.filename for entry in archive.infolist()}


def _name_as_written(entry: zipfile.ZipInfo) -> str:
    if entry.flag_bits & UTF8_FLAG or entry.filename.isascii():
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return entry.filename
