"""What ended a run, in words that say what to do: where memory, the disk or a data worker gave out."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from pathlib import Path

import torch

from ..errors import GankitError
from ..recipe.model import Recipe
from .engine import Engine

FREE_SPACE = "free some space there"
MAKE_WRITABLE = "make it writable"
REMEDIES = {
    errno.ENOSPC: FREE_SPACE,
    errno.EDQUOT: FREE_SPACE,
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: MAKE_WRITABLE,
    errno.EACCES: MAKE_WRITABLE,
    errno.EPERM: MAKE_WRITABLE,
    errno.ENOENT: "bring it back",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
}
# as torch's allocators, CUDA's libraries and Metal say it
NO_MEMORY = re.compile(
    r"DefaultCPUAllocator|not enough memory|out of memory|can't allocate memory|"
    r"(CUBLAS|CUDNN|CUSOLVER|CUSPARSE|CUFFT)_STATUS_(ALLOC_FAILED|INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED)",
    re.IGNORECASE,
)
ASKED = re.compile(r"(?:tried to allocate|unable to allocate) ([\d.,]+) ?([KMGT]?i?B(?:ytes)?)", re.IGNORECASE)
DEAD_WORKER = re.compile(r"DataLoader worker \(pid.*?(exited unexpectedly|is killed by signal: [^.]+)")


def explain_failure(error: BaseException, recipe: Recipe, engine: Engine, doing: str, place: Path) -> BaseException:
    """The error itself, or a `GankitError` that says more where its cause is memory, the disk or a data worker.

    Args:
        error: whatever was raised.
        recipe: resolved.
        engine: of the run.
        doing: when it was raised, such as ``step 3``.
        place: what cannot be read or written, where the error does not say.
    """
    if isinstance(error, GankitError):
        return error
    where = next((f"{note}: " for note in getattr(error, "__notes__", ()) if note.startswith("callback ")), "")
    if is_out_of_memory(error):
        return GankitError(where + out_of_memory(error, recipe, str(engine.device), engine.precision, doing))
    if isinstance(error, OSError) and error.errno is not None:
        name = error.filename if isinstance(error.filename, str) else place
        remedy = f"; {REMEDIES[error.errno]}" if error.errno in REMEDIES else ""
        return GankitError(f"{where}{name}: {error.strerror}{remedy}")
    if dead := dead_worker(error):
        return GankitError(
            f"in {doing}, a process that decodes images {dead}, perhaps for want of memory: "
            "lower loader.workers, or keep the decoded images with loader.cache=memory"
        )
    return error


def dead_worker(error: BaseException) -> str | None:
    """What befell a process that decodes images, where that is it: torch raises this in whatever runs just then."""
    found = DEAD_WORKER.search(str(error)) if isinstance(error, RuntimeError) else None
    return found[1] if found else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that there is no more memory, on whatever device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and NO_MEMORY.search(str(error)) is not None


def out_of_memory(error: BaseException, recipe: Recipe, device: str, precision: str, doing: str) -> str:
    """What was too large, and what to lower; ``recipe`` is resolved."""
    asked = ASKED.search(str(error))
    tried = f" (the last {_readable(asked[1], asked[2])} were not to be had)" if asked else ""
    height, width = recipe.image.size
    return (
        f"out of memory in {doing} on {device}{tried}: loader.batch_size={recipe.loader.batch_size}, images of "
        f"{height} x {width} pixels, precision {precision}. What needs less: {'; '.join(_remedies(recipe, precision))}"
    )


def _readable(size: str, unit: str) -> str:
    if unit == "bytes" and size.isdecimal():
        return f"{int(size) / 2**30:,.2f} GiB"
    return f"{size} {unit}"


def _remedies(recipe: Recipe, precision: str) -> Iterator[str]:
    part = recipe.train.microbatch or recipe.loader.batch_size
    if part > 1:
        yield f"train.microbatch={part // 2}, which is the same batch in parts"
        yield "a lower loader.batch_size"
    widths = {side: getattr(recipe, side).params.get("width") for side in ("generator", "discriminator")}
    given = [f"{side}.width={width}" for side, width in widths.items() if width is not None]
    yield f"narrower networks (now {', '.join(given)})" if given else "smaller networks"
    if precision != "bf16":
        yield "train.precision=bf16"
    if recipe.loader.cache != "none":
        yield "loader.cache=none, which keeps no decoded images"
