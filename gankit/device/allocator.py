"""Settings of the C library's memory allocator. Does not import torch."""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache

# parameters of `mallopt`, from glibc's malloc.h
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
GROWTH = 2**26  # bytes of address space that are requested at a time


@cache
def keep_freed_memory() -> None:
    """Let this process keep the memory of freed tensors for the next ones.

    glibc returns each large block to the system when it is freed. The next tensor then causes a page fault for each 4
    KiB, thousands in a training step on the CPU. The process keeps as much memory as it needed at its peak.

    Other C libraries, and settings in the environment (``MALLOC_...`` or ``GLIBC_TUNABLES``), are left alone.
    """
    if platform.libc_ver()[0] != "glibc" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(M_MMAP_MAX, 0)  # no block has pages of its own
    mallopt(M_TRIM_THRESHOLD, -1)  # the end of the heap is never returned
    mallopt(M_TOP_PAD, GROWTH)
