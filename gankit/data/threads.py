"""Runs a function on many items in threads, in bounded memory."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

THREADS = 4  # each may hold an image of 64 megapixels in memory
AHEAD = 256  # items whose results may wait to be used


def map_items(dataset: Any, read: Callable[[int], R], indices: Sequence[int]) -> Iterator[R]:
    """The results of a function that reads items of a dataset: in threads if the dataset is ``thread_safe``."""
    return map_in_threads(read, indices) if getattr(dataset, "thread_safe", False) else map(read, indices)


def map_in_threads(function: Callable[[T], R], items: Sequence[T], together: int = 1) -> Iterator[R]:
    """The results of ``function`` in the order of the items.

    When it is left early, by an error or Ctrl-C, items that have not begun are dropped and running ones are waited
    for, so that no thread outlives the call. If torch's code runs in a thread when Python ends, the process aborts.

    Args:
        function: called in threads.
        items: its arguments.
        together: how many items a thread takes at a time, which saves time if they are quick.
    """

    def call(start: int) -> list[R]:
        return [function(item) for item in items[start : start + together]]

    starts = range(0, len(items), together)
    name = f"map_in_threads {id(call)}"
    pool = ThreadPoolExecutor(min(THREADS, max(2, os.cpu_count() or 1)), thread_name_prefix=name)
    try:
        for first in range(0, len(starts), AHEAD):  # `map` submits all of its items at once
            for results in pool.map(call, starts[first : first + AHEAD]):
                yield from results
    finally:
        with _ignored_interrupts():
            pool.shutdown(wait=True, cancel_futures=True)
            for thread in threading.enumerate():  # Ctrl-C while the pool starts a thread keeps it from noting it
                if thread.name.startswith(f"{name}_"):
                    thread.join()


@contextmanager
def _ignored_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C inside the block: when it interrupts `Thread.join`, Python 3.11 takes the thread as ended."""
    before = signal.getsignal(signal.SIGINT)
    if before is None or threading.current_thread() is not threading.main_thread():  # others are not interrupted
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
