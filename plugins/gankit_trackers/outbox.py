"""Work in a thread of its own, so that a slow or unreachable tracker does not delay training."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

import gankit

from .log import Log

MAX_WAITING = 1000  # records
MAX_WAITING_BEFORE_LARGE = 100  # records; a large one is left out if more wait


class Outbox:
    """Calls the methods of a log in order, in a thread. It may be closed once.

    A record that the log cannot take is lost, and the next one is tried.

    Args:
        log: of the run.

    Attributes:
        problem: the first one, as a sentence for the user; None if there was none.
    """

    def __init__(self, log: Log) -> None:
        self.problem: str | None = None
        self._log = log
        self._queue: SimpleQueue[int | Callable[[], None] | None] = SimpleQueue()
        # a daemon, so that a request without an answer does not keep the process alive
        self._thread = threading.Thread(target=self._work, name=type(log).__name__, daemon=True)
        self._thread.start()

    def start(self, step: int) -> None:
        """Start the log at ``step``."""
        self._queue.put(step)

    def put(self, record: Callable[[], None], large: bool = False) -> None:
        """Add a record, unless too many are waiting.

        Args:
            record: calls the log.
            large: whether it holds much memory.
        """
        if self._queue.qsize() < (MAX_WAITING_BEFORE_LARGE if large else MAX_WAITING):
            self._queue.put(record)
        else:
            self._note("it is slower than the training, and some records are left out")

    def close(self, last: Callable[[], None], seconds: float) -> None:
        """Do ``last`` after all records. Waits for at most ``seconds``."""
        self._queue.put(last)
        self._queue.put(None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._note(f"it did not take the last records within {seconds:.0f} seconds, and these are lost")

    def _note(self, problem: str) -> None:
        self.problem = self.problem or problem

    def _work(self) -> None:
        start: int | None = None  # a step at which the log is yet to be started
        while (task := self._queue.get()) is not None:
            try:
                start = task if isinstance(task, int) else start
                if start is not None:
                    if message := self._log.start(start):
                        self._note(message)
                    start = None
                if not isinstance(task, int):
                    task()
            except Exception as error:  # of a library, or of the network
                self._note(f"{gankit.one_line(error).rstrip('.')}; it continues with the next record")
