"""Ranks that fail or die, noticed by the other ranks and reported as errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..errors import GankitError

SOURCE_LOCATION = re.compile(r"^\[\S*:\d+\] ")  # where a communication library raised it, before its message
MAX_REASON = 200


class OtherProcessError(GankitError):
    """Another process of the run failed and has reported the reason itself."""


class LostProcessError(GankitError):
    """Another process of the run died or cannot be reached."""


@contextmanager
def detect_lost_ranks() -> Iterator[None]:
    """Convert errors of torch.distributed inside the block. Raises: LostProcessError."""
    try:
        yield
    except (torch.OutOfMemoryError, torch.AcceleratorError):  # of this rank
        raise
    except RuntimeError as error:  # the base class of every error of torch.distributed
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        reason = SOURCE_LOCATION.sub("", reason).partition(". This is")[0][:MAX_REASON]
        raise LostProcessError(
            "another process of this run died or cannot be reached, so this process ends too. See the output of that "
            f"process; if it printed nothing it was killed, possibly for lack of memory ({reason})"
        ) from error
