"""Image files in a folder or a zip archive: their sorted names and their bytes."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import IO, Any, Protocol

from ..errors import DataError
from ..files import open_regular
from .safe_zip import open_zip

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
MAX_REVISITED = 100_000  # entries of folders visited again through links; crossing links would multiply without end
MAX_NAME_LENGTH = 1_000  # characters


class ImageFiles(Protocol):
    """A folder or a zip archive of images."""

    path: Path

    def names(self) -> list[str]:
        """The sorted paths of all images, relative to ``path``. Raises: DataError: they cannot be listed."""

    def open(self, name: str) -> IO[bytes]:
        """Open one file. Raises: OSError, and other errors of `zipfile`: it cannot be read."""


def open_image_files(path: Path) -> ImageFiles:
    """Open a folder or a zip of images. Raises: DataError: ``path`` is neither."""
    path = path.expanduser().absolute()
    if path.is_dir():
        return Folder(path)
    if not path.exists():
        raise DataError(f"{path} does not exist; set `path` to a folder or a zip of images")
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise DataError(f"{path} is neither a folder nor a complete zip; set `path` to a folder or a zip of images")
    return Zip(path)


def _is_image(name: str) -> bool:
    """Whether a path has the suffix of an image, and neither the file nor a parent folder is hidden."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not any(_is_hidden(part) for part in name.split("/"))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _sorted(names: Iterable[str]) -> list[str]:
    return sorted(set(names), key=lambda name: name.split("/"))


class Folder:
    """Images in a folder and its subfolders. Symbolic links are followed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        try:
            return _sorted(self._image_paths())
        except OSError as error:
            raise DataError(f"{self.path} cannot be listed: {error}") from error

    def open(self, name: str) -> IO[bytes]:
        return open_regular(self.path / name)

    def _image_paths(self) -> Iterator[str]:
        """Relative paths, unsorted. Not recursive, as folders may be nested deeper than Python allows."""

        @cache
        def folder_target(link: str) -> str | None:
            return os.path.realpath(link) if os.path.isdir(link) else None  # noqa: PTH112  # a circular link is neither

        visited: set[str] = set()
        revisited = 0
        # relative path with a trailing slash, real path, and the real paths of the links that lead there
        pending: list[tuple[str, str, frozenset[str]]] = [("", os.path.realpath(self.path), frozenset())]
        while pending:
            prefix, real_path, followed = pending.pop()
            visited_before = real_path in visited
            visited.add(real_path)
            with os.scandir(self.path / prefix) as entries:
                for entry in entries:
                    revisited += visited_before
                    if revisited > MAX_REVISITED:
                        raise DataError(
                            f"{self.path}: links lead to the same folders repeatedly, with more than "
                            f"{MAX_REVISITED:,} entries; remove the superfluous links"
                        )
                    name, path = prefix + entry.name, os.path.join(real_path, entry.name)  # noqa: PTH118  # faster
                    if _is_hidden(entry.name):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        pending.append((f"{name}/", path, followed))
                    elif entry.is_symlink() and (target := folder_target(path)) is not None:
                        if target not in followed and not Path(real_path).is_relative_to(target):  # not a cycle
                            pending.append((f"{name}/", target, followed | {target, real_path}))
                    elif _is_image(entry.name) and (entry.is_file(follow_symlinks=False) or entry.is_symlink()):
                        yield name  # broken links too, which are reported when they are read


class Zip:
    """Images in a zip archive, which is not extracted. Each process opens the file itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: tuple[int, zipfile.ZipFile] | None = None  # by the process id
        self._renamed: dict[str, str] = {}

    def names(self) -> list[str]:
        entries = self._archive().namelist()
        # some tools on Windows write backslashes
        self._renamed = {entry.replace("\\", "/"): entry for entry in entries if "\\" in entry}
        names = [entry.replace("\\", "/") for entry in entries]
        for name in names:
            self._require_relative(name)
        return _sorted(name for name in names if _is_image(name))

    def open(self, name: str) -> IO[bytes]:
        return self._archive().open(self._renamed.get(name, name))

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
