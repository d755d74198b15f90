"""Files in a folder or a zip archive: their sorted names, their bytes, and which of them are images."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from ...errors import DataError
from ...files import open_regular
from .decoding import DecodeError, open_image
from .folder_walk import walk_folder
from .ignored_files import ignored_file, ignored_folder, is_run_directory
from .image_formats import PREFIX_BYTES, has_image_suffix, may_be_image, recognize
from .safe_zip import entry_names, open_zip

SAMPLE_BYTES = 2**14  # read at the start and at the end of a file to recognize its content
BLOCK_BYTES = 2**20
UNCOMPRESSED = ("BMP", "TIFF")
MAX_NAME_LENGTH = 1_000  # characters


class Listing(NamedTuple):
    """The content of a folder or zip.

    Attributes:
        names: of the files, sorted, relative to the folder or zip.
        ignored: what each ignored file or folder is, such as ``@eaDir`` or ``run directory``, by name.
    """

    names: list[str]
    ignored: dict[str, str]


class ImageFiles(Protocol):
    """A folder or a zip archive with images."""

    path: Path

    def listing(self) -> Listing:
        """All files, except for ignored ones. Raises: DataError: they cannot be listed."""

    def names(self) -> list[str]:
        """The sorted paths of all images, relative to ``path``. Raises: DataError: they cannot be listed."""

    def open(self, name: str) -> IO[bytes]:
        """Open one file. Raises: OSError, and other errors of `zipfile`: it cannot be read."""

    def identity(self, name: str, file: IO[bytes] | None = None) -> tuple[int, str]:
        """The size of a file in bytes and a hash of its content. Raises: as `open`.

        ``file`` may be the file as opened by `open`, whose position is then undefined.

        In a folder, the hash is of the first and last 16 KiB, or of the whole file where pixels may be stored without
        compression, which can change without changing the size. In a zip, it is the checksum that the zip stores.
        """


def open_image_files(path: Path) -> ImageFiles:
    """Open a folder or a zip of images. Raises: DataError: ``path`` is neither."""
    path = path.expanduser().absolute()
    if path.is_dir():
        return Folder(path)
    if not path.exists():
        raise DataError(f"{path} does not exist; give the path of a folder or a zip of images")
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise DataError(f"{path} is neither a folder nor a complete zip; give the path of a folder or a zip of images")
    return Zip(path)


def is_image(name: str, open_file: Callable[[str], IO[bytes]]) -> bool:
    """Whether a file is an image: by its suffix, even if it is damaged, otherwise by its content."""
    if has_image_suffix(name):
        return True
    try:
        with open_file(name) as file:
            return has_image_content(name, file)
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError):  # zipfile raises the last two
        return False


def has_image_content(name: str, file: IO[bytes]) -> bool:
    """Whether an open file without an image suffix is an image. Its position is undefined afterwards."""
    try:
        if not may_be_image(name, file.read(PREFIX_BYTES)):
            return False
        file.seek(0)
        open_image(file)
    except DecodeError:
        return False
    return True


_hash = partial(hashlib.blake2b, digest_size=16)


def _sorted(names: Iterable[str]) -> list[str]:
    return sorted(set(names), key=lambda name: name.split("/"))


class Folder:
    """Files in a folder and its subfolders. Symbolic links are followed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def listing(self) -> Listing:
        ignored: dict[str, str] = {}
        try:
            return Listing(_sorted(walk_folder(self.path, ignored)), ignored)
        except OSError as error:
            raise DataError(f"{self.path} cannot be listed: {error}") from error

    def names(self) -> list[str]:
        return [name for name in self.listing().names if is_image(name, self.open)]

    def open(self, name: str) -> IO[bytes]:
        return open_regular(self.path / name)

    def identity(self, name: str, file: IO[bytes] | None = None) -> tuple[int, str]:
        if file is None:
            with self.open(name) as opened:
                return self.identity(name, opened)
        size = os.fstat(file.fileno()).st_size
        start = file.read(SAMPLE_BYTES)
        digest = _hash(start)
        if recognize(start[:PREFIX_BYTES]) in UNCOMPRESSED:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
            return size, digest.hexdigest()
        if size > SAMPLE_BYTES:
            file.seek(max(SAMPLE_BYTES, size - SAMPLE_BYTES))
            digest.update(file.read(SAMPLE_BYTES))
        return size, digest.hexdigest()


class Zip:
    """Files in a zip archive, which is not extracted. Each process opens the file itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: tuple[int, zipfile.ZipFile] | None = None  # by the process id
        self._stored_names: dict[str, str] = {}  # of entries that are listed under another name

    def listing(self) -> Listing:
        names = entry_names(self._archive())
        for name in names:
            self._require_relative(name)
        self._stored_names = {name: stored for name, stored in names.items() if name != stored}
        files = [name for name in names if not name.endswith("/")]
        contents: dict[str, set[str]] = {}
        for name in files:
            folder, _, file = name.rpartition("/")
            contents.setdefault(folder, set()).add(file)
        runs = {folder for folder, inside in contents.items() if folder and is_run_directory(inside)}
        ignored: dict[str, str] = {}
        kept = [name for name in files if not _find_ignored(name, runs, ignored)]
        return Listing(_sorted(kept), ignored)

    def names(self) -> list[str]:
        return [name for name in self.listing().names if is_image(name, self.open)]

    def open(self, name: str) -> IO[bytes]:
        return self._archive().open(self._stored_names.get(name, name))

    def identity(self, name: str, file: IO[bytes] | None = None) -> tuple[int, str]:
        entry = self._archive().getinfo(self._stored_names.get(name, name))
        return entry.file_size, f"{entry.CRC:08x}"

    def _require_relative(self, name: str) -> None:
        """Raises: DataError: a name is too long, or leads out of the archive."""
        if len(name) > MAX_NAME_LENGTH:
            raise DataError(
                f"{self.path}: an entry's name has {len(name):,} characters, above the limit of {MAX_NAME_LENGTH:,}; "
                "create the zip again without it"
            )
        drive = name[1:2] == ":" and name[0].isalpha()
        if drive or name.startswith("/") or (".." in name and ".." in name.split("/")):
            raise DataError(f"{self.path}: the entry {name!r} points out of the zip; create the zip again without it")

    def _archive(self) -> zipfile.ZipFile:
        # a forked worker would share its parent's position in the file
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), open_zip(self.path)
        return self._opened[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}


def _find_ignored(name: str, runs: set[str], ignored: dict[str, str]) -> bool:
    """Whether a file of a zip is ignored; adds it, or the folder that it is ignored with, to ``ignored``."""
    *folders, file = name.split("/")
    for depth, folder in enumerate(folders, 1):
        path = "/".join(folders[:depth])
        if (kind := ignored_folder(folder) or ("run directory" if path in runs else None)) is not None:
            ignored[path] = kind
            return True
    if (kind := ignored_file(file)) is not None:
        ignored[name] = kind
    return kind is not None
