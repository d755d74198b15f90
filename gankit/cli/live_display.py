"""Keeps something below everything that is printed to a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import partial
from threading import RLock
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.live import Live


class LiveDisplay:
    """Draws a renderable below all other output, and draws it again there when it changes.

    While it is shown, ``sys.stdout`` and ``sys.stderr`` erase it, write unchanged what they are given, and draw it
    again below. (The redirection of `rich.live.Live` wraps lines anew, and other consoles of rich bypass it.)

    Args:
        renderable: drawn anew at each `refresh`.
        console: for a terminal.
    """

    def __init__(self, renderable: RenderableType, console: Console) -> None:
        console.file = console.file  # the stream of now, even if `sys.stdout` is replaced
        self._renderable, self._console = renderable, console
        self._live: Live | None = None  # while it is drawn; a new one each time, since one does not start again cleanly
        self._lock = RLock()
        self._drawing = False
        self._late: list[tuple[TextIO, str]] = []  # what a signal handler printed in the middle of drawing
        self._streams: dict[str, Any] = {}  # in place of those of `sys`, by name

    def start(self) -> None:
        """Draw it for the first time."""
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and stream.isatty():
                self._streams[name] = _StreamAbove(stream, self)
                setattr(sys, name, self._streams[name])
        self._draw(self._show)

    def refresh(self) -> None:
        """Draw it again."""
        with self._lock:
            if self._live is not None:
                self._draw(self._live.refresh)

    def stop(self) -> None:
        """Draw it for the last time, and leave it where it is."""
        for name, stream in self._streams.items():
            if getattr(sys, name) is stream:
                setattr(sys, name, stream.stream)
        self._streams.clear()
        self._draw(partial(self._hide, erase=False))

    def write_above(self, stream: TextIO, text: str) -> None:
        """Write text above it. It stays hidden until a line is complete."""
        with self._lock:
            if self._drawing:
                self._late.append((stream, text))
                return
            self._draw(self._hide)
            stream.write(text)
            stream.flush()
            if text.endswith("\n"):
                self._draw(self._show)

    def _show(self) -> None:
        self._live = Live(
            self._renderable, console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start(refresh=True)

    def _hide(self, erase: bool = True) -> None:
        if self._live is not None:
            self._live.transient = erase
            self._live.stop()
            self._live = None

    def _draw(self, draw: Callable[[], None]) -> None:
        with self._lock:
            self._drawing = True
            try:
                draw()
            finally:
                self._drawing = False
            while self._late:
                self.write_above(*self._late.pop(0))


class _StreamAbove:
    """A stream of the terminal that writes above a display."""

    def __init__(self, stream: TextIO, display: LiveDisplay) -> None:
        self.stream, self._display = stream, display

    def write(self, text: str) -> int:
        if text:
            self._display.write_above(self.stream, text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
