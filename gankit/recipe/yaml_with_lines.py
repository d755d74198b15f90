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

_BOOL = "true|True|TRUE|false|False|FALSE"
# Python refuses to format integers of more than 4,300 decimal digits, so longer hexadecimal numbers are strings
_INT = r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F_]{1,3000})"
_FLOAT = (
    r"[-+]?(\.[0-9]+|[0-9][0-9_]*\.[0-9_]*)([eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_NULL = "~|null|Null|NULL|"
_DIGITS = "0123456789"
_SCALARS = (
    ("bool", _BOOL, "tTfF"),
    ("int", _INT, "-+" + _DIGITS),
    ("float", _FLOAT, "-+." + _DIGITS),
    ("null", _NULL, ["~", "n", "N", ""]),
    ("merge", "<<", "<"),
)
_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float", "null", "str", "map", "seq")}


class _Loader(yaml.SafeLoader):
    """Reads scalars by YAML 1.2: ``2e-4`` is a number, ``no``, ``1:30`` and ``010`` are strings; ``1_000`` is allowed.

    Stops at `MAX_VALUES` and `MAX_DEPTH`. The values are counted in the text and again in the data, because aliases
    repeat nodes (YAML bombs).
    """

    yaml_implicit_resolvers: Any = {}  # noqa: RUF012  # as declared in the base class

    def __init__(self, text: str, file: str) -> None:
        super().__init__(text)
        self.document = Document(None)
        self._file = file
        self._nodes = self._depth = self._values = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._nodes += 1
        self._depth += 1
        if self._nodes > MAX_VALUES or self._depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem=_too_large(self._depth), problem_mark=mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        """The data of a node; its places are added to the document."""
        place = _place(self._file, node.start_mark)
        self._values += 1
        if self._values > MAX_VALUES or len(path) > MAX_DEPTH:
            raise RecipeError([Problem(place, "", f"{_too_large(len(path))}; check its aliases")])
        self.document.values[path] = place
        if node.tag not in _TAGS:
            raise RecipeError([Problem(place, dotted(path), f"the tag {node.tag!r} is not allowed; use plain data")])
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        try:
            return self.construct_object(node)
        except (yaml.YAMLError, ValueError, LookupError):
            kind = node.tag.rpartition(":")[2]
            raise RecipeError([Problem(place, dotted(path), f"{_quote(node.value)} is not a valid {kind}")]) from None

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = _place(self._file, key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                raise RecipeError([Problem(place, dotted(path), "a key must be a string")])
            key, inner = key_node.value, (*path, key_node.value)
            if key_node.tag == "tag:yaml.org,2002:merge":
                self._report(place, path, "merge keys ('<<') are not allowed; use 'extends'")
            elif key in data:
                self._report(place, inner, f"given twice, first at {self.document.keys[inner]}")
            elif ":" in key.rstrip(":") and not key_node.style and _is_missing(value_node):
                self._report(place, path, f"YAML reads {_quote(key)} as one string; put a space after the colon")
            else:
                self.document.keys[inner] = place
                data[key] = self.value(value_node, inner)
        return data

    def _report(self, place: str, path: KeyPath, message: str) -> None:
        self.document.problems.append(Problem(place, dotted(path), message))


class _Dumper(yaml.SafeDumper):
    """Quotes strings that YAML 1.1 or 1.2 would read as another type, and escapes unprintable characters."""

    def represent_string(self, text: str) -> yaml.Node:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _Dumper.represent_string)

for _name, _pattern, _first in _SCALARS:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(rf"(?:{_pattern})$"), list(_first))


def read(text: str, name: str) -> Document:
    """Parse YAML text into a document. ``name`` is the file in its places. Raises: RecipeError."""
    try:
        loader = _Loader(text, name)
        node = loader.get_single_node()
    except (ValueError, OverflowError):  # for example an escape sequence outside Unicode
        raise _invalid(_place(name, loader.get_mark()), "cannot be parsed from here on") from None
    except yaml.MarkedYAMLError as error:
        raise _invalid(_place(name, error.problem_mark or error.context_mark), _explain(error)) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = f"{name}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
        raise _invalid(place, f"the character U+{error.character:04X} is not allowed") from None
    if node is not None:
        loader.document.data = loader.value(node, ())
    return loader.document


def write(data: Any) -> str:
    """Format plain data as YAML. `read` returns equal data."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)


def _is_missing(node: yaml.Node) -> bool:
    """Whether the value is missing, as in ``key:``."""
    return isinstance(node, yaml.ScalarNode) and not node.value and not node.style


def _place(name: str, mark: yaml.Mark | None) -> str:
    return f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name


def _invalid(place: str, fault: str) -> RecipeError:
    return RecipeError([Problem(place, "", f"invalid YAML: {fault}")])


def _explain(error: yaml.MarkedYAMLError) -> str:
    text = error.problem or error.context or "cannot be read"
    if error.context and error.context_mark and error.problem:
        text += f", {error.context} that begins on line {error.context_mark.line + 1}"
    return text


def _too_large(depth: int) -> str:
    return f"has more than {f'{MAX_DEPTH} levels' if depth > MAX_DEPTH else f'{MAX_VALUES:,} values'}"


def _quote(text: str) -> str:
    return repr(truncate(text, 60))
