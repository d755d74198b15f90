"""Read YAML into plain data with line numbers, and write it.

Only plain data is accepted: tags that run code, duplicate keys and merge keys are refused. The number of values is
bounded, so that nested aliases cannot multiply.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from ..errors import Problem, RecipeError
from ..messages import truncate
from .located_document import Document, KeyPath, dotted

MAX_BYTES = 250_000
MAX_VALUES = 20_000
MAX_DEPTH = 40

_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
# Python refuses to format integers of more than 4,300 decimal digits, so longer hexadecimal numbers are strings
_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F_]{1,3000})")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9][0-9_]*\.[0-9_]*)([eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_NULL = re.compile(r"~|null|Null|NULL|")
_DIGITS = "0123456789"
_SCALARS = (
    ("bool", _BOOL, "tTfF"),
    ("int", _INT, "-+" + _DIGITS),
    ("float", _FLOAT, "-+." + _DIGITS),
    ("null", _NULL, ["~", "n", "N", ""]),
    ("merge", re.compile("<<"), "<"),
)
_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float", "null", "str", "map", "seq")}


class _Loader(yaml.SafeLoader):
    """Reads scalars by YAML 1.2: ``2e-4`` is a number, ``no``, ``1:30`` and ``010`` are strings; ``1_000`` is allowed.

    Stops at `MAX_VALUES` and `MAX_DEPTH`.
    """

    yaml_implicit_resolvers: Any = {}  # noqa: RUF012  # as declared in the base class

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._values = self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._values += 1
        self._depth += 1
        if self._values > MAX_VALUES or self._depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem=_too_large(self._depth), problem_mark=mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Dumper(yaml.SafeDumper):
    """Quotes strings that YAML 1.1 or 1.2 would read as another type, and escapes unprintable characters."""

    def represent_string(self, text: str) -> yaml.Node:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _Dumper.represent_string)

for _name, _pattern, _first in _SCALARS:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(
            f"tag:yaml.org,2002:{_name}", re.compile(rf"(?:{_pattern.pattern})$"), list(_first)
        )


def read(text: str, name: str) -> Document:
    """Parse YAML text into a document. ``name`` is the file in its places. Raises: RecipeError."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except (ValueError, OverflowError):  # for example an escape sequence outside Unicode
        mark = loader.get_mark()
        raise RecipeError(
            [Problem(f"{name}:{mark.line + 1}:{mark.column + 1}", "", "invalid YAML: cannot be parsed from here on")]
        ) from None
    except yaml.MarkedYAMLError as error:
        raise RecipeError([_invalid(error, name)]) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = f"{name}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
        raise RecipeError(
            [Problem(place, "", f"invalid YAML: the character U+{error.character:04X} is not allowed")]
        ) from None
    reader = _Reader(name)
    if node is not None:
        reader.document.data = reader.value(node, ())
    return reader.document


def write(data: Any) -> str:
    """Format plain data as YAML. `read` returns equal data."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)


class _Reader:
    """Converts a tree of nodes into data. It counts the values again, because aliases repeat nodes (YAML bombs)."""

    def __init__(self, name: str) -> None:
        self.document = Document(None)
        self._name = name
        self._visited = 0
        self._scalars = _Loader("")

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        place = self._place(node)
        self._visited += 1
        if self._visited > MAX_VALUES or len(path) > MAX_DEPTH:
            raise RecipeError([Problem(place, "", f"{_too_large(len(path))}; check its aliases")])
        self.document.values[path] = place
        if node.tag not in _TAGS:
            raise RecipeError([Problem(place, dotted(path), f"the tag {node.tag!r} is not allowed; use plain data")])
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError, LookupError):
            kind = node.tag.rpartition(":")[2]
            raise RecipeError([Problem(place, dotted(path), f"{_quote(node.value)} is not a valid {kind}")]) from None

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = self._place(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                raise RecipeError([Problem(place, dotted(path), "a key must be a string")])
            key = key_node.value
            if key_node.tag == "tag:yaml.org,2002:merge":
                self.document.problems.append(
                    Problem(place, dotted(path), "merge keys ('<<') are not allowed; use 'extends'")
                )
            elif key in data:
                first = self.document.keys[*path, key]
                self.document.problems.append(Problem(place, dotted((*path, key)), f"given twice, first at {first}"))
            elif ":" in key.rstrip(":") and not key_node.style and _is_missing(value_node):
                message = f"YAML reads {_quote(key)} as one string; put a space after the colon"
                self.document.problems.append(Problem(place, dotted(path), message))
            else:
                self.document.keys[*path, key] = place
                data[key] = self.value(value_node, (*path, key))
        return data

    def _place(self, node: yaml.Node) -> str:
        return f"{self._name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def _is_missing(node: yaml.Node) -> bool:
    """Whether the value is missing, as in ``key:``."""
    return isinstance(node, yaml.ScalarNode) and not node.value and not node.style


def _invalid(error: yaml.MarkedYAMLError, name: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
    text = error.problem or error.context or "cannot be read"
    if error.context and error.context_mark and error.problem:
        text += f", {error.context} that begins on line {error.context_mark.line + 1}"
    return Problem(place, "", f"invalid YAML: {text}")


def _too_large(depth: int) -> str:
    return f"has more than {f'{MAX_DEPTH} levels' if depth > MAX_DEPTH else f'{MAX_VALUES:,} values'}"


def _quote(text: str) -> str:
    return repr(truncate(text, 60))
