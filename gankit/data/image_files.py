"""Image files in a folder or in a zip: their names, in one order, and their bytes."""

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
MAX_AGAIN = 100_000  # entries of folders that links lead to again: a few that cross would make a walk without end
LONGEST_NAME = 1_000


class ImageFiles(Protocol):
    """Where images lie."""

    path: Path

    def names(self) -> list[str]:
        """All images, as paths with ``/`` below ``path``, sorted. Raises: DataError."""

    def open(self, name: str) -> IO[bytes]:
        """One file. Raises: OSError and others, where it cannot be read."""


def open_image_files(path: Path) -> ImageFiles:
    """The images at ``path``. Raises: DataError where that is neither a folder nor a zip."""
    path = path.expanduser().absolute()
    if path.is_dir():
        return Folder(path)
    if not path.exists():
        raise DataError(f"{path} does not exist; `path` names a folder or a zip of images")
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise DataError(f"{path} is neither a folder nor a whole zip; `path` names a folder or a zip of images")
    return Zip(path)


def _is_image(name: str) -> bool:
    """Whether a name is an image's, and neither it nor a folder around it is hidden."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not any(_is_hidden(part) for part in name.split("/"))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _sorted(names: Iterable[str]) -> list[str]:
    return sorted(set(names), key=lambda name: name.split("/"))


class Folder:
    """Images below a folder, through symbolic links too."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        try:
            return _sorted(self._walk())
        except OSError as error:
            raise DataError(f"{self.path} cannot be searched for images: {error}") from error

    def open(self, name: str) -> IO[bytes]:
        return open_regular(self.path / name)

    def _walk(self) -> Iterator[str]:
        @cache
        def target_of(link: str) -> str | None:
            return os.path.realpath(link) if os.path.isdir(link) else None  # noqa: PTH112  # a circle of links is none

        listed: set[str] = set()
        again = 0
        # folders below this one, what they really are, and those that links led through
        waiting: list[tuple[str, str, frozenset[str]]] = [("", os.path.realpath(self.path), frozenset())]
        while waiting:
            prefix, home, seen = waiting.pop()
            known = home in listed
            listed.add(home)
            with os.scandir(self.path / prefix) as entries:
                for entry in entries:
                    again += known
                    if again > MAX_AGAIN:
                        raise DataError(
                            f"{self.path}: links lead to the same folders again and again, with more than "
                            f"{MAX_AGAIN:,} entries; remove those that are not needed"
                        )
                    name, place = prefix + entry.name, os.path.join(home, entry.name)  # noqa: PTH118  # of each file
                    if _is_hidden(entry.name):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((f"{name}/", place, seen))
                    elif entry.is_symlink() and (target := target_of(place)) is not None:
                        if target not in seen and not Path(home).is_relative_to(target):  # back to where we come from
                            waiting.append((f"{name}/", target, seen | {target, home}))
                    elif _is_image(entry.name) and (entry.is_file(follow_symlinks=False) or entry.is_symlink()):
                        yield name  # a broken link too: reading it will say so


class Zip:
    """Images in a zip, read in place; each process opens it for itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: tuple[int, zipfile.ZipFile] | None = None
        self._renamed: dict[str, str] = {}

    def names(self) -> list[str]:
        entries = self._archive().namelist()
        # Some tools of Windows write the separators of Windows.
        self._renamed = {entry.replace("\\", "/"): entry for entry in entries if "\\" in entry}
        names = [entry.replace("\\", "/") for entry in entries]
        for name in names:
            self._require_inside(name)
        return _sorted(name for name in names if _is_image(name))

    def open(self, name: str) -> IO[bytes]:
        return self._archive().open(self._renamed.get(name, name))

    def _require_inside(self, name: str) -> None:
        if len(name) > LONGEST_NAME:
            raise DataError(f"{self.path}: an entry has a name of {len(name):,} characters; make the zip anew without")
        drive = name[1:2] == ":" and name[0].isalpha()
        if drive or name.startswith("/") or (".." in name and ".." in name.split("/")):
            raise DataError(f"{self.path}: the entry {name!r} points out of the zip; make it anew without it")

    def _archive(self) -> zipfile.ZipFile:
        # A forked worker would share its parent's place in the file.
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), open_zip(self.path)
        return self._opened[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}
