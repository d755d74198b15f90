"""Errors that end a run, explained: out of memory, disk and file errors, and decoding processes that died."""

from __future__ import annotations

import errno
from pathlib import Path

from ..data.workers import worker_death
from ..device.engine import Engine
from ..device.out_of_memory import is_out_of_memory, out_of_memory_message
from ..errors import GankitError
from ..recipe.model import Recipe

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


def explain_failure(error: BaseException, recipe: Recipe, engine: Engine, activity: str, place: Path) -> BaseException:
    """A `GankitError` with a remedy where memory, the disk or a decoding process is the cause, else ``error`` itself.

    Args:
        error: any error.
        recipe: resolved.
        engine: of the run.
        activity: the part of the run that raised it, such as ``step 3``.
        place: the file or folder to name where an `OSError` does not name one.
    """
    if (death := worker_death(error)) is not None:
        return GankitError(f"in {activity}, {death}")
    if isinstance(error, GankitError):
        return error
    prefix = next((f"{note}: " for note in getattr(error, "__notes__", ()) if note.startswith("callback ")), "")
    if is_out_of_memory(error):
        message = out_of_memory_message(error, recipe, str(engine.device), engine.precision, activity)
        return GankitError(f"{prefix}{message}")
    if isinstance(error, OSError) and error.errno is not None:
        name = error.filename if isinstance(error.filename, str) else place
        remedy = f"; {REMEDIES[error.errno]}" if error.errno in REMEDIES else ""
        return GankitError(f"{prefix}{name}: {error.strerror}{remedy}")
    return error
