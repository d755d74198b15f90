"""A recipe's file with all that it extends and what the command line says, as plain data with places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import yaml_with_lines as yaml_text
from ..errors import Problem, RecipeError
from .located_document import KeyPath, dotted
from ..messages import truncate

LENGTHS = ("epochs", "steps", "images")
COMMAND_LINE = "command line"
MAX_PARENTS = 20


@dataclass
class Document:
    """Plain data and the place of every key and value in it.

    Attributes:
        data: mappings, lists and scalars.
        keys: ``file:line:column`` of each mapping key, by path.
        values: the same of each value.
        problems: faults that did not stop the reading, such as a key given twice.
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

    def override(self, path: KeyPath, holder: Any, value: Any, place: str) -> None:
        """Lay ``value``, given at ``place``, over what is at ``path``, in the mapping or list ``holder``."""
        child = Document({})

        for where in _paths(value, path):
            child.keys[where] = child.values[where] = place
        self._lay(path, holder, value, child)

    def _merge_at(self, path: KeyPath, old: dict[str, Any], new: Mapping[str, Any], child: Document) -> None:
        if path == ("train",) and lengths_in(new):
            for length in LENGTHS:
                old.pop(length, None)
        for key, value in new.items():
            self._lay((*path, key), old, value, child)

    def _lay(self, path: KeyPath, holder: Any, value: Any, child: Document) -> None:
        key = path[-1]
        before = _step_into(holder, key)
        if isinstance(before, dict) and isinstance(value, str) and before.get("name") == value:
            value = {"name": value}  # ``loss: bce`` stands for ``loss: {name: bce}``
        elif isinstance(before, str) and isinstance(value, dict):
            before = {"name": before}
            self.values[*path, "name"] = self.values.get(path, "")
            self.values[path] = child.values.get(path, "")
        if path in child.keys:
            self.keys[path] = child.keys[path]
        if _merges(before, value):
            holder[key] = before
            self._merge_at(path, before, value, child)
        else:
            holder[key] = value
            for mine, theirs in ((self.keys, child.keys), (self.values, child.values)):
                for gone in _paths(before, path):
                    if gone != path:
                        mine.pop(gone, None)
                mine.update({new: theirs[new] for new in _paths(value, path) if new in theirs})


def _paths(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    """The path of a value, and of everything in it."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from _paths(item, (*path, key))


def lengths_in(train: Any) -> list[str]:
    """The training lengths that a ``train`` section gives."""
    return [length for length in LENGTHS if isinstance(train, Mapping) and train.get(length) is not None]


def read_document(path: str | Path, overrides: Sequence[str] = ()) -> Document:
    """A file with all that it extends, and the command line's ``KEY=VALUE`` words laid over it.

    Raises:
        RecipeError: a file cannot be read or is no YAML mapping, or ``extends`` goes in a circle.
    """
    document = _read_with_parents(Path(path), ())
    apply_overrides(document, overrides)
    return document


def parse(text: str, name: str) -> Document:
    """The document in a YAML text; ``name`` is its file's name in messages. Raises: RecipeError."""
    reading = yaml_text.read(text, name)
    if reading.data is None:
        raise RecipeError([Problem(name, "", "is empty; a recipe is a mapping of keys to values")])
    if not isinstance(reading.data, dict):
        kind = "a list" if isinstance(reading.data, list) else "a single value"
        raise RecipeError([Problem(reading.values[()], "", f"is {kind}; a recipe is a mapping of keys to values")])
    return Document(reading.data, reading.keys, reading.values, reading.problems)


def _read_with_parents(path: Path, children: tuple[Path, ...], asked: str = "", values: int = 0) -> Document:
    document = parse(_read_text(path, asked), _shown(path))
    values += len(document.values)
    if values > yaml_text.MAX_VALUES:
        message = f"grows beyond {yaml_text.MAX_VALUES:,} values in all, which no recipe needs"
        raise RecipeError([Problem(asked, "extends", message)])
    family = (*children, path.resolve())
    if family[-1] in children or len(children) > MAX_PARENTS:
        circle = (
            family[family.index(family[-1]) :] if family[-1] in children else (*family[:2], Path("..."), family[-1])
        )
        fault = "goes in a circle" if family[-1] in children else "goes on for too long"
        raise RecipeError([Problem(asked, "extends", f"{fault}: {' -> '.join(map(_shown, circle))}")])
    if "extends" not in document.data:
        return document
    parent = document.data.pop("extends")
    place = document.values[("extends",)]
    if not isinstance(parent, str) or not parent:
        raise RecipeError(
            [Problem(place, "extends", f"should be the path of a recipe, from this file; got {truncate(repr(parent))}")]
        )
    base = _read_with_parents(path.parent / parent, family, place, values)
    base.merge(document)
    base.values[()] = document.values[()]
    return base


def _shown(path: Path) -> str:
    """A file's name as a user would give it here."""
    try:
        plain = path.resolve() if ".." in path.parts else path.absolute()
        return str(plain.relative_to(Path.cwd()))
    except (OSError, ValueError, RuntimeError):  # elsewhere, a loop of links, or no name of a file at all
        return str(path)


def _read_text(path: Path, asked: str) -> str:
    try:
        if asked and path.exists() and not path.is_file() and not path.is_dir():  # a pipe would keep us waiting
            raise OSError("is no regular file")
        with path.open("rb") as file:
            content = file.read(yaml_text.MAX_BYTES + 1)
        if len(content) <= yaml_text.MAX_BYTES:
            return content.decode("utf-8-sig")
        message = f"is too large for a recipe: more than {yaml_text.MAX_BYTES:,} bytes"
    except FileNotFoundError:
        message = "no such file"
    except IsADirectoryError:
        message = "is a folder; name a recipe file in it"
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start})"
    except (OSError, ValueError) as error:
        message = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    shown = _shown(path)
    raise RecipeError([Problem(asked, "extends", f"{truncate(shown)}: {message}") if asked else Problem(shown, "", message)])


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
    if not equals or not all(words) or len(words) > yaml_text.MAX_DEPTH:
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
        inside = _step_into(inside, step)
    for part in reversed(words[start + 1 :]):
        value = {part: value}
    document.override(tuple(path[: start + 1]), holder, value, place)
    return lengths_in(value) if words[0] == "train" else []


def _value_of(text: str, place: str) -> Any:
    try:
        reading = yaml_text.read(text, place)
        problems = reading.problems
    except RecipeError as error:
        problems = list(error.problems)
    if problems:
        raise RecipeError([Problem(place, "", problem.message) for problem in problems])
    return reading.data


def read_options(words: Iterable[str]) -> dict[str, Any]:
    """``KEY=VALUE`` words of one level as a mapping; values are YAML. Raises: RecipeError."""
    document = Document({})
    apply_overrides(document, words)
    if document.problems:
        raise RecipeError(document.problems)
    return document.data


def _merges(before: Any, value: Any) -> bool:
    """Whether both are mappings, and not two components of different names."""
    if not isinstance(before, dict) or not isinstance(value, dict):
        return False
    return "name" not in value or before.get("name", value["name"]) == value["name"]


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
    raise RecipeError([Problem(place, path, f"no single item is called {truncate(word)!r}; there are: {known}")])
