"""Helpers for error messages: shortened values and suggestions of the closest name."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable

MAX_WORD = 100  # characters of a key or path in a message


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the closest known name, or the list of known names."""
    choices = sorted(known)
    if close := difflib.get_close_matches(word, choices, n=1, cutoff=0.6):
        return f"; did you mean '{close[0]}'?"
    return f"; known: {', '.join(choices)}" if choices else "; known: none"


def truncate(text: str, length: int = MAX_WORD) -> str:
    """The text, shortened to ``length`` characters with an ellipsis where it is longer."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def one_line(error: BaseException) -> str:
    """The message of an error on one line, or the name of its class where it has no message."""
    return " ".join(str(error).split()) or type(error).__name__


def warn(message: str) -> None:
    """Give the user a warning of one sentence where there is no run to log it.

    It goes to the logger ``gankit``: without any set-up, Python prints the message alone to standard error.
    """
    logging.getLogger("gankit").warning(message)
