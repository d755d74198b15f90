"""Helpers for messages: shortened values, durations, suggestions of the closest name, and the line that failed."""

from __future__ import annotations

import difflib
import linecache
import logging
import os
import traceback
from collections.abc import Collection, Iterable
from pathlib import Path

MAX_WORD = 100  # characters of a key or path in a message
MAX_NAMES = 20  # known names listed in a message
MAX_LISTED = 5  # of names that are only examples
CORE = str(Path(__file__).parent)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the closest known name, or the list of known names."""
    choices = sorted(known)
    if close := difflib.get_close_matches(word, choices, n=1, cutoff=0.6):
        return f"; did you mean '{truncate(close[0])}'?"
    if not choices:
        return "; known: none"
    more = f" and {len(choices) - MAX_NAMES:,} more" if len(choices) > MAX_NAMES else ""
    return f"; known: {', '.join(map(truncate, choices[:MAX_NAMES]))}{more}"


def listed(names: Collection[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - MAX_LISTED:,} more" if len(names) > MAX_LISTED else ""
    return ", ".join(truncate(name) for name in list(names)[:MAX_LISTED]) + more


def counted(number: int, noun: str) -> str:
    """A number of things, such as ``1 image`` or ``1,000 images``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def quote(value: object) -> str:
    """A value that a user gave, as Python writes it, shortened where it is too long for a message."""
    return truncate(repr(value))


def truncate(text: str, length: int = MAX_WORD) -> str:
    """The text, shortened to ``length`` characters with an ellipsis where it is longer."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def format_duration(seconds: float) -> str:
    """Minutes and seconds, such as ``7:05``, with hours if there are any: ``1:07:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def one_line(error: BaseException) -> str:
    """The message of an error on one line, or the name of its class where it has no message."""
    is_sentence = isinstance(error, KeyError) and len(error.args) == 1 and " " in str(error.args[0])
    message = str(error.args[0] if is_sentence else error)  # str() of a KeyError quotes its message
    return " ".join(message.split()) or type(error).__name__


def failing_line(error: BaseException, *libraries: str, show_code: bool = False) -> str:
    """The innermost line of a plugin in the traceback, as `` (file:line)`` or `` (file:line: code)``.

    Args:
        error: with its traceback.
        libraries: folders with code between gankit and the plugin.
        show_code: whether to append the code of the line.
    """
    skipped = ("<", *(f"{folder}{os.sep}" for folder in (CORE, *libraries)))
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    lines = [(Path(name), line) for name, line in frames if not name.startswith(skipped)]
    # the first of these files is the plugin's; later ones may be libraries that it calls
    own = [(file, line) for file, line in lines if file.is_relative_to(lines[0][0].parent)]
    if not own:
        return ""
    file, line = own[-1]
    code = truncate(linecache.getline(str(file), line).strip()) if show_code else ""
    return f" ({file}:{line}{f': {code}' if code else ''})"


def warn(message: str) -> None:
    """Log a one-sentence warning where there is no run that could record it as an event.

    It goes to the logger ``gankit``: without any set-up, Python prints the message alone to standard error.
    """
    logging.getLogger("gankit").warning(message)
