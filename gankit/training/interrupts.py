"""Ctrl-C in a script: the run finishes its step and is saved before ``KeyboardInterrupt`` is raised."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class DeferredInterrupts:
    """Defers the first SIGINT, unless the program handles SIGINT itself. A second one is raised at once.

    Args:
        stop: called with the signal's name when it arrives.

    Attributes:
        received: whether a signal was deferred.
    """

    def __init__(self, stop: Callable[[str], None]) -> None:
        self.received = False
        self._stop = stop

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """A block that is finished when the signal arrives."""
        is_main = threading.current_thread() is threading.main_thread()  # Python allows no other to handle signals
        if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            raise KeyboardInterrupt
        self.received = True
        self._stop(signal.Signals(number).name)
