"""``KEY=VALUE`` overrides from the command line, merged into a document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import Problem, RecipeError
from ..messages import truncate
from . import yaml_with_lines
from .located_document import COMMAND_LINE, Document, dotted, item_at, lengths_in


def apply_overrides(document: Document, overrides: Iterable[str]) -> None:
    """Apply ``KEY=VALUE`` overrides with YAML values. Invalid overrides are added to the document's problems."""
    lengths: list[list[str]] = []
    for word in overrides:
        try:
            key, value = parse_override(word)
            lengths.append(set_value(document, key, value, override_place(word)))
        except RecipeError as error:
            document.problems += error.problems
    given = sorted({f"train.{length}" for found in lengths for length in found})
    if len(given) > 1 and sum(map(bool, lengths)) > 1:
        document.problems.append(Problem(COMMAND_LINE, "train", f"give one length, not {' and '.join(given)}"))


def override_place(word: str) -> str:
    """The place of an override in messages."""
    return f"{COMMAND_LINE}: {truncate(word)}"


def parse_override(word: str) -> tuple[str, Any]:
    """The key and the value of ``KEY=VALUE``. Raises: RecipeError."""
    place = override_place(word)
    key, equals, text = word.partition("=")
    words = key.split(".")
    if not equals or not all(words) or len(words) > yaml_with_lines.MAX_DEPTH:
        raise RecipeError([Problem(place, "", "an override is KEY=VALUE, such as train.epochs=1")])
    if words[0] == "extends":
        raise RecipeError([Problem(place, "extends", "is supported in recipe files only, not on the command line")])
    return key, _parse_value(text, place)


def set_value(document: Document, key: str, value: Any, place: str) -> list[str]:
    """Merge a value, given at ``place``, into a document.

    Args:
        document: of a recipe.
        key: its path, with dots. List items are addressed by index or component name.
        value: plain data.
        place: for messages.

    Returns:
        The training lengths that it sets.

    Raises:
        RecipeError: the key names an item that a list lacks.
    """
    words = key.split(".")
    # a mapping to merge cannot express a list index: merge into the last list on the path, or into the document
    current: Any = document.data
    holder, start = current, 0
    path: list[str | int] = []
    for position, part in enumerate(words):
        step: str | int = part
        if isinstance(current, list):
            holder, start, step = current, position, _index_of(current, part, dotted(tuple(path)), place)
        path.append(step)
        current = item_at(current, step)
    for part in reversed(words[start + 1 :]):
        value = {part: value}
    document.override(tuple(path[: start + 1]), holder, value, place)
    return lengths_in(value) if words[0] == "train" else []


def _parse_value(text: str, place: str) -> Any:
    try:
        document = yaml_with_lines.read(text, place)
        if document.problems:
            raise RecipeError(document.problems)
    except RecipeError as error:
        raise RecipeError([Problem(place, "", problem.message) for problem in error.problems]) from None
    return document.data


def read_options(words: Iterable[str]) -> dict[str, Any]:
    """``NAME=VALUE`` arguments with YAML values, as a mapping. Raises: RecipeError."""
    words = [*words]
    if other := next((word for word in words if not word.partition("=")[1]), None):
        raise RecipeError([Problem(override_place(other), "", "an option is NAME=VALUE")])
    options: dict[str, Any] = {}
    document = Document(options)
    apply_overrides(document, words)
    if document.problems:
        raise RecipeError(document.problems)
    return options


def _index_of(items: list[Any], word: str, path: str, place: str) -> int:
    """The index of the item that ``word`` refers to: its index, or the name of a component that occurs once."""
    if word in map(str, range(len(items))):
        return int(word)
    names = [item.get("name") if isinstance(item, dict) else item for item in items]
    if names.count(word) == 1:
        return names.index(word)
    known = ", ".join(f"{index} ({name})" for index, name in enumerate(names)) or "none"
    raise RecipeError([Problem(place, path, f"no unique item {truncate(word)!r}; items: {known}")])
