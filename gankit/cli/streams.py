"""Standard output and error streams whose failures are ignored, so that output never ends a command."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any, TextIO, cast


class _ForgivingStream:
    """Writes to a text stream until that fails, and discards everything from then on.

    It fails if the reader of a pipe has gone, the disk is full, or the terminal was closed.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except RuntimeError:  # a signal handler prints while the same stream is being written
            pass
        except (OSError, ValueError):
            self._discard_from_now_on()
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except RuntimeError:
            pass
        except (OSError, ValueError):
            self._discard_from_now_on()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _discard_from_now_on(self) -> None:
        """Replace the file: what is buffered would fail again when Python exits, which changes the exit code."""
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


@contextmanager
def forgiving_streams() -> Iterator[None]:
    """A block in which printing never raises, to streams that fail or lack a character.

    ``sys.stdout`` and ``sys.stderr`` are None if they were closed before Python started; printing then has no effect.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a class may be named in letters that a terminal lacks
    streams = [stream and cast(TextIO, _ForgivingStream(stream)) for stream in (sys.stdout, sys.stderr)]
    with redirect_stdout(streams[0]), redirect_stderr(streams[1]):
        try:
            yield
        finally:
            for stream in streams:
                if stream is not None:
                    stream.flush()
