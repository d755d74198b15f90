"""``KEY=VALUE`` overrides from the command line, merged into a document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import Problem, RecipeError
from ..messages import truncate
from . import yaml_with_lines
from .located_document import Document, dotted, item_at, lengths_in

COMMAND_LINE = "command line"


def apply_overrides(document: Document, overrides: Iterable[str]) -> None:
    """Lay the command line's ``KEY=VALUE`` words over the document; values are YAML.

    Each word that is no ``KEY=VALUE``, has invalid YAML, or names a list's item that is not there becomes one of the
    document's problems.
    """
    lengths: list[list[str]] = []
    for word in overrides:
        place = f"{COMMAND_LINE}: {truncate(word)}"
        try:
            lengths.append(_apply(document, word, place))
        except RecipeError as error:
            document.problems += error.problems
    given = sorted({f"train.{length}" for found in lengths for length in found})
    if len(given) > 1 and sum(map(bool, lengths)) > 1:
        document.problems.append(Problem(COMMAND_LINE, "train", f"give one length, not {' and '.join(given)}"))


def _apply(document: Document, word: str, place: str) -> list[str]:
    """Lay one word over the document. Returns the training lengths that it gives."""
    key, equals, text = word.partition("=")
    words = key.split(".")
    if not equals or not all(words) or len(words) > yaml_with_lines.MAX_DEPTH:
        raise RecipeError([Problem(place, "", "an override is KEY=VALUE, such as train.epochs=1")])
    if words[0] == "extends":
        raise RecipeError([Problem(place, "extends", "belongs into a recipe's file, not onto the command line")])
    value = _value_of(text, place)
    # inside lists the path ends at an item; everywhere else at the first word, with the rest as mappings below it
    inside: Any = document.data
    holder, start = inside, 0
    path: list[str | int] = []
    for index, part in enumerate(words):
        step: str | int = part
        if isinstance(inside, list):
            holder, start, step = inside, index, _item(inside, part, dotted(tuple(path)), place)
        path.append(step)
        inside = item_at(inside, step)
    for part in reversed(words[start + 1 :]):
        value = {part: value}
    document.override(tuple(path[: start + 1]), holder, value, place)
    return lengths_in(value) if words[0] == "train" else []


def _value_of(text: str, place: str) -> Any:
    try:
        document = yaml_with_lines.read(text, place)
        problems = document.problems
    except RecipeError as error:
        problems = list(error.problems)
    if problems:
        raise RecipeError([Problem(place, "", problem.message) for problem in problems])
    return document.data


def read_options(words: Iterable[str]) -> dict[str, Any]:
    """``KEY=VALUE`` words of one level as a mapping; values are YAML. Raises: RecipeError."""
    document = Document({})
    apply_overrides(document, words)
    if document.problems:
        raise RecipeError(document.problems)
    options: dict[str, Any] = document.data
    return options


def _item(items: list[Any], word: str, path: str, place: str) -> int:
    """The index that ``word`` means in a list: a number, or the name of the one component so called."""
    if word.isdecimal() and int(word) < len(items):
        return int(word)
    names = [item.get("name") if isinstance(item, dict) else item for item in items]
    if names.count(word) == 1:
        return names.index(word)
    known = ", ".join(f"{index} ({name})" for index, name in enumerate(names)) or "none"
    raise RecipeError([Problem(place, path, f"no single item is called {truncate(word)!r}; there are: {known}")])
