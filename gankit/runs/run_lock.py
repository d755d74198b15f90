"""The lock of a run directory: one process trains there at a time. A lock ends with its process, however that ends."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
import weakref
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import GankitError
from .file_names import LOCK
from .json_lines import parse_object

MAX_BYTES = 4096
ATTEMPTS, PAUSE = 20, 0.05  # seconds between attempts: `lock_state` also holds the lock for a moment

if sys.platform == "win32":
    import msvcrt

    _FAR = 2**30  # a locked byte cannot be read, so it lies behind the content

    def _try_lock(descriptor: int, shared: bool) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    _IS_HELD = (PermissionError,)
else:
    import fcntl

    def _try_lock(descriptor: int, shared: bool) -> None:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)

    _IS_HELD = (BlockingIOError,)


@dataclass(frozen=True)
class LockState:
    """The state of a run according to its lock.

    Attributes:
        holder: the process that trains the run, such as ``process 4711 on host a``; None if no process does.
        known: whether the run has a lock. Runs of earlier versions, and file systems without locks, have none.
    """

    holder: str | None
    known: bool


class RunLock:
    """The lock of a run directory, held until `release` or the end of the process.

    Processes that are forked while it is held, such as those that decode images, do not keep it.

    Args:
        directory: of the run.

    Attributes:
        fault: why the directory cannot be locked; None if it is.

    Raises:
        GankitError: another process, or another trainer in this one, holds the lock.
    """

    def __init__(self, directory: Path) -> None:
        self.fault: str | None = None
        self._descriptor: int | None = None
        try:
            descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        except OSError as error:
            self.fault = error.strerror or str(error)
            return
        self._descriptor = descriptor
        try:
            _lock(descriptor, attempts=ATTEMPTS)
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
        except _IS_HELD:
            holder = _holder(descriptor)
            self.release()
            raise _held_error(directory, holder) from None
        except OSError as error:  # the file system has no locks
            self.release()
            self.fault = error.strerror or str(error)
            return
        if hasattr(os, "register_at_fork"):  # a forked process shares the lock until it closes the file
            own = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: lock.release() if (lock := own()) else None)

    def release(self) -> None:
        """Give the lock up. Calling it again does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self) -> None:
        self.release()


def lock_state(directory: Path) -> LockState:
    """Whether a process trains the run in a directory."""
    try:
        descriptor = os.open(
            directory / LOCK, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        )
    except OSError:
        return LockState(None, known=False)
    try:
        _lock(descriptor, shared=True)
        return LockState(None, known=True)
    except _IS_HELD:
        return LockState(_holder(descriptor), known=True)
    except OSError:
        return LockState(None, known=False)
    finally:
        os.close(descriptor)


def require_not_training(directory: Path) -> None:
    """Raises: GankitError: a process trains the run in this directory."""
    if holder := lock_state(directory).holder:
        raise _held_error(directory, holder)


def _lock(descriptor: int, shared: bool = False, attempts: int = 1) -> None:
    for _ in range(attempts - 1):
        with suppress(*_IS_HELD):
            _try_lock(descriptor, shared)
            return
        time.sleep(PAUSE)
    _try_lock(descriptor, shared)


def _holder(descriptor: int) -> str:
    """The process that the content of the lock file names."""
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        about = parse_object(os.read(descriptor, MAX_BYTES))
        return f"process {int(about['pid'])} on {about['host']!s:.100}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _held_error(directory: Path, holder: str) -> GankitError:
    return GankitError(f"{directory}: is being trained by {holder}; stop it first, or wait until it ends")
