"""Image files in a folder or in a zip: their names, in one order, and their bytes."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, Protocol

import gankit

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")


class ImageFiles(Protocol):
    """Where images lie."""

    path: Path

    def names(self) -> list[str]:
        """All images, as paths with ``/`` below ``path``, sorted. Raises: gankit.DataError."""

    def open(self, name: str) -> IO[bytes]:
        """One file. Raises: OSError and others, where it cannot be read."""


def open_files(path: Path) -> ImageFiles:
    """The images at ``path``. Raises: gankit.DataError where that is neither a folder nor a zip."""
    path = path.expanduser().absolute()
    if path.is_dir():
        return Folder(path)
    if not path.exists():
        raise gankit.DataError(f"{path} does not exist; `path` names a folder or a zip of images")
    if not zipfile.is_zipfile(path):
        raise gankit.DataError(f"{path} is neither a folder nor a whole zip; `path` names a folder or a zip of images")
    return Zip(path)


def _is_image(name: PurePosixPath) -> bool:
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in name.parts)
    return not hidden and name.suffix.lower() in SUFFIXES


def _sorted(names: Iterator[str]) -> list[str]:
    return sorted(set(names), key=lambda name: name.split("/"))


class Folder:
    """Images below a folder, through symbolic links too."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        try:
            return _sorted(self._walk(self.path, "", frozenset()))
        except OSError as error:
            raise gankit.DataError(f"{self.path} cannot be searched for images: {error}") from error

    def open(self, name: str) -> IO[bytes]:
        return (self.path / name).open("rb")

    def _walk(self, folder: Path, prefix: str, above: frozenset[Path]) -> Iterator[str]:
        real = folder.resolve()
        if real in above:  # a link back to where we come from
            return
        for entry in os.scandir(folder):
            name, path = prefix + entry.name, folder / entry.name
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            if entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and path.is_dir()):
                yield from self._walk(path, f"{name}/", above | {real})
            elif _is_image(PurePosixPath(name)) and (entry.is_file(follow_symlinks=False) or entry.is_symlink()):
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
        return _sorted(name for name in (entry.replace("\\", "/") for entry in entries) if self._is_wanted(name))

    def open(self, name: str) -> IO[bytes]:
        return self._archive().open(self._renamed.get(name, name))

    def _is_wanted(self, name: str) -> bool:
        path = PurePosixPath(name)
        if path.is_absolute() or PureWindowsPath(name).drive or ".." in path.parts:
            raise gankit.DataError(f"{self.path}: the entry {name!r} points out of the zip; make it anew without it")
        return _is_image(path)

    def _archive(self) -> zipfile.ZipFile:
        # A forked worker would share its parent's place in the file.
        if self._opened is None or self._opened[0] != os.getpid():
            try:
                self._opened = os.getpid(), zipfile.ZipFile(self.path)
            except (OSError, zipfile.BadZipFile) as error:
                raise gankit.DataError(f"{self.path} is no readable zip: {error}; make it anew") from error
        return self._opened[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}
