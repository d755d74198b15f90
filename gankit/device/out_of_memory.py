"""Out-of-memory errors: how to recognize them, and a message that says what to lower."""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch

from ..recipe.model import Recipe

# messages of torch's allocators, of CUDA's libraries and of Metal
OUT_OF_MEMORY = re.compile(
    r"DefaultCPUAllocator|not enough memory|out of memory|can't allocate memory|"
    r"(CUBLAS|CUDNN|CUSOLVER|CUSPARSE|CUFFT)_STATUS_(ALLOC_FAILED|INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED)",
    re.IGNORECASE,
)
REQUESTED = re.compile(r"(?:tried to allocate|unable to allocate) ([\d.,]+) ?([KMGT]?i?B(?:ytes)?)", re.IGNORECASE)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error reports a lack of memory, on any device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and OUT_OF_MEMORY.search(str(error)) is not None


def out_of_memory_message(error: BaseException, recipe: Recipe, device: str, precision: str, activity: str) -> str:
    """The sizes that were too large, and the settings to lower. ``recipe`` is resolved."""
    batch, (height, width) = recipe.loader.batch_size, recipe.image.size
    return (
        f"out of memory in {activity} on {device}{last_request(error)}: loader.batch_size={batch}, images of "
        f"{height} x {width} pixels, precision {precision}. To use less: {'; '.join(_remedies(recipe, precision))}"
    )


def last_request(error: BaseException) -> str:
    """The size of the request that failed, in parentheses after a space; empty if the error does not say it."""
    found = REQUESTED.search(str(error))
    return f" (the last request was for {_readable(found[1], found[2])})" if found else ""


def _readable(size: str, unit: str) -> str:
    if unit == "bytes" and size.isdecimal():
        return f"{int(size) / 2**30:,.2f} GiB"
    return f"{size} {unit}"


def _remedies(recipe: Recipe, precision: str) -> Iterator[str]:
    batch = recipe.train.microbatch or recipe.loader.batch_size
    if batch > 1:
        yield f"train.microbatch={batch // 2}, which splits the same batch"
        yield "a lower loader.batch_size"
    sizes = [
        f"{player}.{name}={value}"
        for player in ("generator", "discriminator")
        if (component := getattr(recipe, player)) is not None
        for name, value in component.params.items()
        if type(value) is int
    ]
    yield f"smaller networks (now {', '.join(sizes)})" if sizes else "smaller networks"
    if precision not in ("bf16", "fp16"):
        yield "train.precision=bf16"
    if recipe.loader.cache != "none":
        yield "loader.cache=none, which keeps no decoded images"
