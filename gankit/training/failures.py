"""Errors that end a run, explained: out of memory, disk and file errors, and decoding processes that died."""

from __future__ import annotations

from pathlib import Path

from ..data.workers import worker_death
from ..device.engine import Engine
from ..device.out_of_memory import is_out_of_memory, out_of_memory_message
from ..errors import GankitError
from ..files import reason_and_remedy
from ..recipe.model import Recipe


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
        return GankitError(f"{prefix}{name}: {reason_and_remedy(error)}")
    return error
