"""Read a recipe and the recipes that it extends into one document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path

from ..errors import Problem, RecipeError
from ..files import expand_home
from ..messages import truncate
from . import yaml_with_lines
from .located_document import COMMAND_LINE, Document, Layer, changes_between
from .overrides import apply_overrides


def read_document(path: str | Path, overrides: Sequence[str] = ()) -> Document:
    """Read a recipe, merge it into the recipes that it extends, and apply ``KEY=VALUE`` overrides.

    Raises:
        RecipeError: a file cannot be read or is not a YAML mapping, or ``extends`` is circular.
    """
    *children, document = _with_parents(Path(path))
    for child in reversed(children):
        before = deepcopy(document.data)
        document.merge(child)
        document.layers += [Layer(layer.source, changes_between(before, document.data)) for layer in child.layers]
    if overrides:
        before = deepcopy(document.data)
        apply_overrides(document, overrides)
        document.layers.append(Layer(COMMAND_LINE, changes_between(before, document.data)))
    return document


def read_named_document(path: str | Path, overrides: Sequence[str] = ()) -> Document:
    """The document of `read_document`, with the name of the file as the ``name`` if it has none."""
    document = read_document(path, overrides)
    document.data.setdefault("name", Path(path).stem)
    return document


def parse(text: str, name: str, noun: str = "recipe") -> Document:
    """Parse YAML text of a mapping. ``name`` is its file in messages, and ``noun`` what it is. Raises: RecipeError."""
    document = yaml_with_lines.read(text, name)
    if document.data is None:
        raise RecipeError([Problem(name, "", f"is empty; a {noun} is a mapping of keys to values")])
    if not isinstance(document.data, dict):
        kind = "a list" if isinstance(document.data, list) else "a single value"
        raise RecipeError([Problem(document.values[()], "", f"is {kind}; a {noun} is a mapping of keys to values")])
    return document


def _with_parents(path: Path) -> Iterator[Document]:
    """The recipe at ``path``, the recipe that it extends, the one that this extends, and so on."""
    files: list[Path] = []
    place, values = "", 0  # place: of the `extends` that names the file; empty for the first
    while True:
        document = parse(read_text(path, place), _display_name(path))
        document.layers.append(Layer(_display_name(path)))
        values += len(document.values)
        if values > yaml_with_lines.MAX_VALUES:
            message = f"the recipe and its parents have more than {yaml_with_lines.MAX_VALUES:,} values"
            raise RecipeError([Problem(place, "extends", message)])
        files.append(path.resolve())
        if (first := files.index(files[-1])) < len(files) - 1:
            circle = " -> ".join(map(_display_name, files[first:]))
            raise RecipeError([Problem(place, "extends", f"is circular: {circle}")])
        yield document
        if "extends" not in document.data:
            return
        parent, place = document.data.pop("extends"), document.values["extends",]
        if not isinstance(parent, str) or not parent:
            message = f"should be the path of a recipe, relative to this file; got {truncate(repr(parent))}"
            raise RecipeError([Problem(place, "extends", message)])
        try:
            path = path.parent / expand_home(parent)
        except ValueError as error:
            raise RecipeError([Problem(place, "extends", str(error))]) from None


def _display_name(path: Path) -> str:
    """The path relative to the working directory, if possible."""
    try:
        absolute = path.resolve() if ".." in path.parts else path.absolute()
        return str(absolute.relative_to(Path.cwd()))
    except (OSError, ValueError, RuntimeError):  # it is outside, invalid, or a loop of symbolic links
        return str(path)


def read_text(path: Path, place: str = "", noun: str = "recipe") -> str:
    """The text of a file that a user writes.

    Args:
        path: the file.
        place: of the ``extends`` that names it; empty if the user does.
        noun: what the file is, for messages.

    Raises:
        RecipeError: the file cannot be read, is too large, or is not UTF-8.
    """
    try:
        # only the outermost recipe may be a pipe: reading one that nobody writes to blocks forever
        if place and path.exists() and not path.is_file() and not path.is_dir():
            raise OSError("is not a regular file")
        with path.open("rb") as file:
            content = file.read(yaml_with_lines.MAX_BYTES + 1)
        if len(content) <= yaml_with_lines.MAX_BYTES:
            return content.decode("utf-8-sig")
        message = f"is too large for a {noun}: more than {yaml_with_lines.MAX_BYTES:,} bytes"
    except FileNotFoundError:
        message = "no such file"
    except IsADirectoryError:
        message = f"is a folder; give the {noun} file in it"
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start})"
    except (OSError, ValueError) as error:
        message = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    name = _display_name(path)
    problem = Problem(place, "extends", f"{truncate(name)}: {message}") if place else Problem(name, "", message)
    raise RecipeError([problem])
