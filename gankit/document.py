"""YAML that remembers where everything stands: reading, inheritance and overrides, as plain data with places.

A document is data: no tags, no aliases that multiply, no duplicate keys, nothing that runs code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .errors import Problem, RecipeError

KeyPath = tuple[str | int, ...]
LENGTHS = ("epochs", "steps", "images")
COMMAND_LINE = "command line"
MAX_BYTES = 1_000_000
MAX_NODES = 20_000
MAX_DEPTH = 40


class _Loader(yaml.SafeLoader):
    """YAML 1.1 without dates, and with ``2e-4`` as the number it is in YAML 1.2."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # the parent declares it so
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


@dataclass
class Document:
    """Plain data and the place of every key and value in it.

    Attributes:
        data: mappings, lists and scalars.
        keys: ``file:line:column`` of each mapping key, by path.
        values: the same of each value.
        problems: faults of the text itself that do not stop the reading, such as a key given twice.
    """

    data: dict[str, Any]
    keys: dict[KeyPath, str] = field(default_factory=dict)
    values: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: KeyPath, of_key: bool = False) -> str:
        """Where ``path`` stands, or the nearest thing around it that stands somewhere."""
        if of_key and path in self.keys:
            return self.keys[path]
        for end in range(len(path), -1, -1):
            if found := self.values.get(path[:end]):
                return found
        return ""

    def problem(self, path: KeyPath, message: str, of_key: bool = False) -> Problem:
        """A `Problem` at ``path``."""
        return Problem(self.place(path, of_key), dotted(path), message)

    def merge(self, child: Document) -> None:
        """Lay ``child`` over this document: mappings merge, everything else is replaced.

        A component of another name replaces the whole component, and a training length replaces the other lengths.
        """
        self.problems += child.problems
        self._merge_at((), self.data, child.data, child)

    def _merge_at(self, path: KeyPath, old: dict[str, Any], new: Mapping[str, Any], child: Document) -> None:
        if path == ("train",) and any(length in new for length in LENGTHS):
            for length in LENGTHS:
                old.pop(length, None)
        for key, value in new.items():
            here = (*path, key)
            before = old.get(key)
            if isinstance(value, dict) and isinstance(before, str) and "name" not in value:
                before = {"name": before}  # ``loss: bce`` stands for ``loss: {name: bce}``
                old[key] = before
            same_component = (
                isinstance(before, dict)
                and isinstance(value, dict)
                and ("name" not in value or before.get("name", value["name"]) == value["name"])
            )
            self.keys[here] = child.keys.get(here, self.keys.get(here, ""))
            if same_component:
                self._merge_at(here, old[key], value, child)
            else:
                self._replace(here, child)
                old[key] = value

    def _replace(self, path: KeyPath, child: Document) -> None:
        for mine, theirs in ((self.keys, child.keys), (self.values, child.values)):
            for known in [p for p in mine if p[: len(path)] == path and p != path]:
                del mine[known]
            mine.update({p: place for p, place in theirs.items() if p[: len(path)] == path})


def dotted(path: KeyPath) -> str:
    """``('callbacks', 0, 'every')`` as ``callbacks.0.every``."""
    return ".".join(str(part) for part in path)


def read_document(path: str | Path, overrides: Sequence[str] = ()) -> Document:
    """A file with all that it extends, and the command line's ``KEY=VALUE`` words laid over it.

    Raises:
        RecipeError: a file cannot be read or is no YAML mapping, ``extends`` goes in a circle, or an override is
            no ``KEY=VALUE``.
    """
    document = _read_with_parents(Path(path), ())
    apply_overrides(document, overrides)
    return document


def _read_with_parents(path: Path, children: tuple[Path, ...], asked: str = "") -> Document:
    if path.resolve() in children:
        names = " -> ".join(_shown(p) for p in [*children[children.index(path.resolve()) :], path])
        raise RecipeError([Problem(asked, "extends", f"goes in a circle: {names}")])
    document = parse(_read_text(path, asked), _shown(path))
    if "extends" not in document.data:
        return document
    parent = document.data.pop("extends")
    place = document.values[("extends",)]
    if not isinstance(parent, str) or not parent:
        raise RecipeError([Problem(place, "extends", f"must be the path of a recipe, not {parent!r}")])
    base = _read_with_parents(path.parent / parent, (*children, path.resolve()), place)
    base.merge(document)
    base.values[()] = document.values[()]
    return base


def _shown(path: Path) -> str:
    """The shortest true name of a file."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _read_text(path: Path, asked: str = "") -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise RecipeError([Problem(_shown(path), "", f"too large for a recipe: more than {MAX_BYTES:,} bytes")])
        return content.decode("utf-8")
    except FileNotFoundError:
        message = "no such file"
    except IsADirectoryError:
        message = "is a folder; name a recipe file in it"
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start})"
    except (OSError, ValueError) as error:
        message = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    raise RecipeError([Problem(asked, "extends" if asked else "", f"{_shown(path)}: {message}")])


def parse(text: str, name: str) -> Document:
    """The document in a YAML text; ``name`` is its file's name in messages. Raises: RecipeError."""
    node = _compose(text, name)
    if node is None:
        raise RecipeError([Problem(name, "", "is empty; a recipe is a mapping of keys to values")])
    if not isinstance(node, yaml.MappingNode):
        raise RecipeError([Problem(f"{name}:1:1", "", "a recipe is a mapping of keys to values")])
    reader = _Reader(name)
    data = reader.value(node, ())
    return Document(data, reader.keys, reader.values, reader.problems)


def _compose(text: str, name: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise RecipeError([Problem(place, "", f"invalid YAML: {error.problem or error.context}")]) from None
    except yaml.YAMLError as error:
        raise RecipeError([Problem(name, "", f"invalid YAML: {str(error).splitlines()[0]}")]) from None
    except RecursionError:
        raise RecipeError([Problem(name, "", "invalid YAML: nested too deeply")]) from None


class _Reader:
    """Turns a node tree into data, counting what it visits so that aliases cannot multiply (a "YAML bomb")."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.visited = 0
        self.keys: dict[KeyPath, str] = {}
        self.values: dict[KeyPath, str] = {}
        self.problems: list[Problem] = []
        self.scalars = _Loader("")

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        place = f"{self.name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"
        self.visited += 1
        if self.visited > MAX_NODES or len(path) > MAX_DEPTH:
            limit = f"{MAX_NODES:,} values" if self.visited > MAX_NODES else f"{MAX_DEPTH} levels"
            raise RecipeError([Problem(place, "", f"grows beyond {limit}, which no recipe needs; are there aliases?")])
        self.values[path] = place
        if not node.tag.startswith("tag:yaml.org,2002:") or "python" in node.tag:
            raise RecipeError([Problem(place, dotted(path), f"the tag {node.tag!r} is not allowed: recipes are data")])
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        try:
            return self.scalars.construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            raise RecipeError([Problem(place, dotted(path), f"invalid value: {error}")]) from None

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = f"{self.name}:{key_node.start_mark.line + 1}:{key_node.start_mark.column + 1}"
            if not isinstance(key_node, yaml.ScalarNode):
                raise RecipeError([Problem(place, dotted(path), "a key must be a word")])
            key = key_node.value
            if key_node.tag == "tag:yaml.org,2002:merge":
                self.problems.append(Problem(place, dotted(path), "merge keys ('<<') are not allowed; use 'extends'"))
            elif key in data:
                self.problems.append(
                    Problem(place, dotted((*path, key)), f"given twice (first {self.keys[*path, key]})")
                )
            else:
                self.keys[(*path, key)] = place
                data[key] = self.value(value_node, (*path, key))
        return data


def apply_overrides(document: Document, overrides: Iterable[str]) -> None:
    """Lay the command line's ``KEY=VALUE`` words over the document; values are YAML.

    Raises:
        RecipeError: every word that is no ``KEY=VALUE``, has invalid YAML, or names a list's item that is not there.
    """
    problems: list[Problem] = []
    lengths: list[str] = []
    for word in overrides:
        key, equals, text = word.partition("=")
        place = f"{COMMAND_LINE}: {word}"
        if not equals or not all(key.split(".")):
            problems.append(Problem(place, "", "an override is KEY=VALUE, such as train.epochs=1"))
            continue
        lengths += [key] if key in {f"train.{length}" for length in LENGTHS} else []
        try:
            _override(document, key.split("."), _value_of(text, place), place)
        except RecipeError as error:
            problems += error.problems
    if len(set(lengths)) > 1:
        problems.append(Problem(COMMAND_LINE, "train", f"give one of {', '.join(sorted(set(lengths)))}"))
    if problems:
        raise RecipeError(problems)


def _value_of(text: str, place: str) -> Any:
    try:
        node = _compose(text, place)
        reader = _Reader(place)
        value = None if node is None else reader.value(node, ())
        problems = reader.problems
    except RecipeError as error:
        problems = list(error.problems)
    if problems:
        raise RecipeError([Problem(place, "", problem.message) for problem in problems])
    return value


def read_options(words: Iterable[str]) -> dict[str, Any]:
    """``KEY=VALUE`` words of one level as a mapping; values are YAML. Raises: RecipeError."""
    document = Document({})
    apply_overrides(document, words)
    return document.data


def _override(document: Document, words: list[str], value: Any, place: str) -> None:
    path: list[str | int] = []
    inside: Any = document.data
    for word in words:
        if isinstance(inside, list):
            path.append(_item(inside, word, dotted(tuple(path)), place))
        else:
            path.append(word)
        inside = _step_into(inside, path[-1])
    if not any(isinstance(part, int) for part in path):
        data: Any = value
        for word in reversed(words):
            data = {word: data}
        document.merge(_everywhere(data, place))
        return
    # inside a list: the item is replaced where it stands
    parent: Any = document.data
    for part in path[:-1]:
        following = _step_into(parent, part)
        if isinstance(following, str):
            following = parent[part] = {"name": following}
        elif not isinstance(following, (dict, list)):
            raise RecipeError([Problem(place, dotted(tuple(path)), "there is nothing to override here")])
        parent = following
    parent[path[-1]] = value
    document._replace(tuple(path), Document({}))
    for table in (document.keys, document.values):
        table[tuple(path)] = place


def _step_into(inside: Any, part: str | int) -> Any:
    if isinstance(inside, dict):
        return inside.get(str(part))
    return inside[part] if isinstance(inside, list) and isinstance(part, int) else None


def _item(items: list[Any], word: str, path: str, place: str) -> int:
    """The index that ``word`` means in a list: a number, or the name of the one component so called."""
    if word.isdecimal() and int(word) < len(items):
        return int(word)
    names = [item.get("name") if isinstance(item, dict) else item for item in items]
    if names.count(word) == 1:
        return names.index(word)
    known = ", ".join(f"{index} ({name})" for index, name in enumerate(names)) or "none"
    raise RecipeError([Problem(place, path, f"no single item is called {word!r}; there are: {known}")])


def _everywhere(data: dict[str, Any], place: str) -> Document:
    """A document that stands in one place."""
    document = Document(data)

    def mark(value: Any, path: KeyPath) -> None:
        document.keys[path] = document.values[path] = place
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in items:
            mark(item, (*path, key))

    mark(data, ())
    del document.keys[()], document.values[()]
    return document
