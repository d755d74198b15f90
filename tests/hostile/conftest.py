"""Bounds of time and memory."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest

MIB = 2**20 if sys.platform == "darwin" else 2**10  # what `ru_maxrss` counts are bytes on macOS, KiB elsewhere


@contextmanager
def within(seconds: float, mebibytes: int) -> Iterator[None]:
    with suppress(OSError):  # Linux alone can forget the peak, which what ran before may have left above all bounds
        Path("/proc/self/clear_refs").write_text("5")
    begun, before = time.process_time(), _peak()
    yield
    assert time.process_time() - begun < seconds
    assert (_peak() - before) / MIB < mebibytes


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.fixture(name="within")
def _within() -> Callable[[float, int], AbstractContextManager[None]]:
    """``within(seconds, mebibytes)``: what runs in it takes no more of the CPU and of further memory."""
    return within
