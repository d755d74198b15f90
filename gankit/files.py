"""Paths that users give, atomic writes, safe opening of regular files, and the data folder."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import GankitError
from .messages import truncate

if TYPE_CHECKING:
    from torch import Tensor


FREE_SPACE = "free some space there"
MAKE_WRITABLE = "make it writable"
REMEDIES = {
    errno.ENOSPC: FREE_SPACE,
    errno.EDQUOT: FREE_SPACE,
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: MAKE_WRITABLE,
    errno.EACCES: MAKE_WRITABLE,
    errno.EPERM: MAKE_WRITABLE,
    errno.ENOENT: "restore it",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
}


def expand_home(path: str | Path) -> Path:
    """The path with a leading ``~`` or ``~USER`` replaced. Raises: ValueError: that home folder is unknown."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        home = Path(path).parts[0]
        raise ValueError(
            f"{truncate(str(path))}: '{truncate(home)}' stands for a home folder, but there is none; write the "
            f"complete path, or ./{truncate(home)} for a folder of that name"
        ) from None


def user_path(path: str | Path) -> Path:
    """A path from the command line or a recipe, with a leading ``~`` or ``~USER`` replaced. It need not exist.

    Raises:
        ValueError: the home folder is unknown, or the path cannot be looked up: a name is too long, or a folder on it
            is not accessible.
    """
    expanded = expand_home(path)
    try:
        if stat.S_ISDIR(expanded.stat().st_mode) and not os.access(expanded, os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.EACCES):
            raise ValueError(f"{truncate(str(path))}: cannot be used as a path: {error.strerror}") from None
    return expanded


def expand_user_paths(value: Any) -> Any:
    """A checked value with every path in it, also in lists and mappings, replaced as in `user_path`."""
    if isinstance(value, Path):
        return user_path(value)
    if type(value) in (list, tuple):
        return type(value)(map(expand_user_paths, value))
    return {key: expand_user_paths(item) for key, item in value.items()} if type(value) is dict else value


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
def whole_folder(path: Path) -> Iterator[Path]:
    """A temporary folder to fill. On success it replaces ``path``, which is then on the disk.

    After a kill, one whole folder is left: the old or the new one, in rare cases under its temporary name.
    """
    leftovers = temporary, removed = [path.with_name(f".{path.name}.{end}") for end in (os.getpid(), "removed")]
    try:
        for leftover in leftovers:  # of a killed process
            shutil.rmtree(leftover, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        for file in (*temporary.iterdir(), temporary):
            flush_to_disk(file)
        if path.exists():
            path.rename(removed)  # not deleted here: a kill during the deletion would leave a damaged folder
        temporary.rename(path)
        flush_to_disk(path.parent)
    finally:
        for leftover in leftovers:
            shutil.rmtree(leftover, ignore_errors=True)


def save_safetensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file with the usual permissions: safetensors 0.8 lets only the owner read its files."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    path.touch()
    mode = path.stat().st_mode
    try:
        save_file(dict(tensors), path, metadata=None if metadata is None else dict(metadata))
    except SafetensorError as error:  # such as "I/O error: No space left on device (os error 28)"
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(*([int(number[1]), os.strerror(int(number[1]))] if number else [str(error)])) from None
    path.chmod(mode)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A block that writes to a file or folder. Raises: GankitError: it cannot be written, with the remedy."""
    try:
        yield
    except OSError as error:
        raise GankitError(write_failure(path, error)) from error


@contextmanager
def output_file(path: Path) -> Iterator[Path]:
    """Like `whole_file`, in a folder that is created if it is missing.

    Raises:
        GankitError: the file cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file() and not path.is_dir():
            raise GankitError(f"{path}: is a device or a pipe, which cannot be replaced; give the name of a file")
        with whole_file(path) as temporary:
            yield temporary


def write_text(path: Path, text: str) -> None:
    """Write a whole text file in UTF-8. Raises: GankitError: as for `output_file`."""
    with output_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_failure(path: Path | str, error: OSError) -> str:
    """A message for a file or folder that could not be written, with the remedy."""
    return f"{path}: cannot be written: {reason_and_remedy(error)}"


def reason_and_remedy(error: OSError) -> str:
    """The system's description of an error, and a remedy if one is known."""
    remedy = REMEDIES.get(error.errno or 0)
    return f"{error.strerror or error}{f'; {remedy}' if remedy else ''}"


def read_failure(path: Path, error: OSError) -> str:
    """A message for a file that could not be read, which says nothing about its content, with the remedy."""
    if isinstance(error, PermissionError):
        return f"{path}: cannot be read: permission denied; change its permissions, or use the account that wrote it"
    if isinstance(error, FileNotFoundError):
        return f"{path}: no such file"
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
    """The folder of datasets and of caches computed from them: ``$GANKIT_DATA_DIR``, or ``data`` if that is unset.

    Raises:
        GankitError: the variable begins with an unknown home folder.
    """
    try:
        return expand_home(os.environ.get("GANKIT_DATA_DIR") or "data")
    except ValueError as error:
        raise GankitError(f"GANKIT_DATA_DIR: {error}") from None
