"""A recipe file with everything that it extends, as one document."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import Problem, RecipeError
from ..messages import truncate
from . import yaml_with_lines
from .located_document import Document
from .overrides import apply_overrides

MAX_PARENTS = 20


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
    document = yaml_with_lines.read(text, name)
    if document.data is None:
        raise RecipeError([Problem(name, "", "is empty; a recipe is a mapping of keys to values")])
    if not isinstance(document.data, dict):
        kind = "a list" if isinstance(document.data, list) else "a single value"
        raise RecipeError([Problem(document.values[()], "", f"is {kind}; a recipe is a mapping of keys to values")])
    return document


def _read_with_parents(path: Path, children: tuple[Path, ...], asked: str = "", values: int = 0) -> Document:
    document = parse(_read_text(path, asked), _shown(path))
    values += len(document.values)
    if values > yaml_with_lines.MAX_VALUES:
        message = f"grows beyond {yaml_with_lines.MAX_VALUES:,} values in all, which no recipe needs"
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
            content = file.read(yaml_with_lines.MAX_BYTES + 1)
        if len(content) <= yaml_with_lines.MAX_BYTES:
            return content.decode("utf-8-sig")
        message = f"is too large for a recipe: more than {yaml_with_lines.MAX_BYTES:,} bytes"
    except FileNotFoundError:
        message = "no such file"
    except IsADirectoryError:
        message = "is a folder; name a recipe file in it"
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start})"
    except (OSError, ValueError) as error:
        message = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    shown = _shown(path)
    raise RecipeError(
        [Problem(asked, "extends", f"{truncate(shown)}: {message}") if asked else Problem(shown, "", message)]
    )
