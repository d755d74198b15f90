"""Markdown from text that may come from recipes, files and plugins, and therefore may contain Markdown or HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ..messages import truncate

MAX_TEXT = 300  # characters


def literal(value: object) -> str:
    """A value as one line of text that Markdown shows as it is: all punctuation that could have a meaning is escaped.

    Control characters are removed, and addresses do not become links.
    """
    words = "".join(c if c.isprintable() else " " for c in str(value)).split()
    text = re.sub(r"([\\`*_\[\]<>|~&$@])", r"\\\1", truncate(" ".join(words), MAX_TEXT))
    text = re.sub(r"(?i)(https?|ftp|www)([:.])", r"\1\\\2", text)
    return re.sub(r"^(\d*)([-+=#.)])", r"\1\\\2", text)  # neither a list nor a heading


def table(rows: Iterable[Sequence[str]], columns: Sequence[str]) -> str:
    """A table with cells of Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def code(text: str, language: str) -> str:
    """A block of code with a fence that is longer than any in the text."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
