"""A recipe's data with the ``file:line:column`` of every key and value, kept while documents are merged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from ..errors import Problem, RecipeError
from ..messages import MAX_WORD, truncate

KeyPath = tuple[str | int, ...]
"""The keys and list indices that lead to a value, such as ``("callbacks", 0, "every")``."""

COMMAND_LINE = "command line"
"""The start of the place of overrides."""

LENGTHS = ("epochs", "steps", "images")
"""The keys of ``train`` that set the length of the run; a recipe gives exactly one."""

SHORT_FORMS: Mapping[KeyPath, str] = {("initialize",): "from"}
"""The key of a mapping that can be given by this value alone; that of a component is its ``name``."""


@dataclass(frozen=True)
class Layer:
    """A recipe file, or the overrides of the command line, as a layer above the recipe that it extends.

    Attributes:
        source: the path of the file, or `COMMAND_LINE`.
        changes: the value below and the value in this layer, by dotted key; empty for the lowest layer. None stands
            for a value that a layer lacks.
    """

    source: str
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)


@dataclass
class Document:
    """Plain data and the place of every key and value in it.

    Attributes:
        data: mappings, lists and scalars.
        keys: ``file:line:column`` of each mapping key, by path.
        values: ``file:line:column`` of each value, by path.
        problems: faults that did not stop the reader, such as a duplicate key.
        layers: the files and overrides that the data come from, lowest first; empty if they come from no file.
    """

    data: Any
    keys: dict[KeyPath, str] = field(default_factory=dict)
    values: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)

    def place(self, path: KeyPath, of_key: bool = False) -> str:
        """The place of the value (or key) at ``path``, or of the nearest enclosing value that has one."""
        if of_key and path in self.keys:
            return self.keys[path]
        for end in range(len(path), -1, -1):
            if found := self.values.get(path[:end]):
                return found
        return ""

    def problem(self, path: KeyPath, message: str, of_key: bool = False) -> Problem:
        """A `Problem` located at ``path``."""
        return Problem(self.place(path, of_key), dotted(path), message)

    def error(self, path: KeyPath, message: str) -> RecipeError:
        """An error of one problem, located at ``path``."""
        return RecipeError([self.problem(path, message)])

    def merge(self, child: Document) -> None:
        """Merge ``child`` into this document: mappings are merged, other values are replaced.

        A component with another name replaces the whole component, and a training length replaces the other lengths.
        """
        self.problems += child.problems
        self.values[()] = child.values[()]
        self._merge_mapping((), self.data, child.data, child)

    def override(self, path: KeyPath, holder: Any, value: Any, place: str) -> None:
        """Merge ``value``, given at ``place``, into the item at ``path`` of ``holder``, a mapping or a list."""
        child = Document({})
        for inner in _paths(value, path):
            child.keys[inner] = child.values[inner] = place
        self._merge_item(path, holder, value, child)

    def _merge_mapping(self, path: KeyPath, old: dict[str, Any], new: Mapping[str, Any], child: Document) -> None:
        if path == ("train",) and lengths_in(new):
            for length in LENGTHS:
                old.pop(length, None)
        for key, value in new.items():
            self._merge_item((*path, key), old, value, child)

    def _merge_item(self, path: KeyPath, holder: Any, value: Any, child: Document) -> None:
        key = path[-1]
        before, short = item_at(holder, key), SHORT_FORMS.get(path, "name")
        if isinstance(before, dict) and isinstance(value, str) and before.get(short) == value:
            value = {short: value}  # ``loss: bce`` is short for ``loss: {name: bce}``
        elif isinstance(before, str) and isinstance(value, dict):
            before = {short: before}
            self.values[*path, short] = self.values.get(path, "")
            self.values[path] = child.values.get(path, "")
        if path in child.keys:
            self.keys[path] = child.keys[path]
        if _can_merge(before, value):
            holder[key] = before
            self._merge_mapping(path, before, value, child)
        else:
            holder[key] = value
            for mine, theirs in ((self.keys, child.keys), (self.values, child.values)):
                for removed in _paths(before, path):
                    if removed != path:
                        mine.pop(removed, None)
                mine.update({new: theirs[new] for new in _paths(value, path) if new in theirs})


def dotted(path: KeyPath) -> str:
    """``("callbacks", 0, "every")`` as ``callbacks.0.every``, shortened where it is too long for a message."""
    return truncate(".".join(truncate(str(part)) for part in path), 10 * MAX_WORD)


def lengths_in(train: Any) -> list[str]:
    """The training lengths that a ``train`` section gives."""
    return [length for length in LENGTHS if isinstance(train, Mapping) and train.get(length) is not None]


def item_at(holder: Any, key: str | int) -> Any:
    """The item of a mapping or list, or None if it is missing or ``holder`` is neither."""
    if isinstance(holder, dict):
        return holder.get(str(key))
    return holder[key] if isinstance(holder, (list, tuple)) and isinstance(key, int) else None


def differing_paths(before: Any, after: Any, path: KeyPath = ()) -> list[KeyPath]:
    """The paths of the values that differ, where a component with another name counts as one value."""
    if before == after:
        return []
    mappings = isinstance(before, dict) and isinstance(after, dict)
    if not mappings or (path and before.get("name") != after.get("name")):  # at the root, it is the name of the recipe
        return [path]
    keys = dict.fromkeys((*before, *after))
    return [found for key in keys for found in differing_paths(before.get(key), after.get(key), (*path, key))]


def changes_between(before: Any, after: Any) -> dict[str, tuple[Any, Any]]:
    """Copies of the values that differ, before and after, by dotted key."""

    def value_at(data: Any, path: KeyPath) -> Any:
        for key in path:
            data = item_at(data, key)
        return deepcopy(data)

    return {dotted(path): (value_at(before, path), value_at(after, path)) for path in differing_paths(before, after)}


def _paths(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    """The path of a value and of everything inside it."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from _paths(item, (*path, key))


def _can_merge(before: Any, value: Any) -> bool:
    """Whether both are mappings, but not two components with different names."""
    if not isinstance(before, dict) or not isinstance(value, dict):
        return False
    return "name" not in value or before.get("name", value["name"]) == value["name"]
