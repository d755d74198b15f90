"""The continuations of ``KEY=VALUE``: keys of a recipe with the parameters of its components, and their values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import GankitError
from ..recipe.inheritance import read_document
from .completion_cache import Components

Schema = dict[str, Any]


def complete_override(
    word: str, recipe: Path, overrides: Sequence[str], components: Components
) -> Iterator[tuple[str, str]]:
    """The words that begin like ``word``, with descriptions.

    Args:
        word: the beginning of an override.
        recipe: the file that it overrides. Without a readable one, all components are possible.
        overrides: those before it, which may select other components.
        components: the registered ones.
    """
    try:
        data: Any = read_document(recipe, overrides).data
    except GankitError:
        data = {}
    keys = _Keys(components.schema)
    key, equals, _ = word.partition("=")
    path = key.split(".")
    schemas = [components.schema]
    for part in path if equals else path[:-1]:
        schemas = [inner for schema in schemas for name, inner in keys.children(schema, data) if name == part]
        data = _item(data, part)
    if equals:
        yield from ((f"{key}={value}", text) for schema in schemas for value, text in keys.values(schema))
        return
    before = key[: key.rfind(".") + 1]
    for schema in schemas:
        for name, inner in keys.children(schema, data):
            if before + name != "extends":
                yield f"{before}{name}=", inner.get("description", "")
            if any(keys.children(inner, _item(data, name))):
                yield f"{before}{name}.", ""


class _Keys:
    """Reads the schema of recipes."""

    def __init__(self, schema: Schema) -> None:
        self.definitions = schema["$defs"]

    def children(self, schema: Schema, data: Any) -> Iterator[tuple[str, Schema]]:
        """The keys below a value, with their schemas. ``data`` is the value in the recipe, or None."""
        found: dict[str, Schema] = {}
        names: list[Schema] = []
        for option in self._alternatives(schema):
            properties = option.get("properties", {})
            own, chosen = (
                properties.get("name", {}).get("const"),
                data if isinstance(data, str) else _item(data, "name"),
            )
            if own is None or chosen is None or own == chosen:
                found = properties | found
            names += [properties["name"]] if own is not None else []
            if isinstance(data, list) and "items" in option:
                found |= {name: option["items"] for item in data if (name := _name(item))}
        yield from (found | {"name": {"anyOf": names}} if names else found).items()  # another name selects another one

    def values(self, schema: Schema) -> Iterator[tuple[str, str]]:
        """The values of a key of which there are only some, as text, with descriptions."""
        for option in self._alternatives(schema):
            texts = option.get("enumDescriptions", [""] * len(option.get("enum", ())))
            yield from ((_text(value), text) for value, text in zip(option.get("enum", ()), texts, strict=True))
            if "const" in option:
                yield _text(option["const"]), ""
            if option.get("type") in ("boolean", "null"):
                yield from ((value, "") for value in {"boolean": ("true", "false"), "null": ("null",)}[option["type"]])

    def _alternatives(self, schema: Schema) -> Iterator[Schema]:
        """The schemas that a schema combines, and itself."""
        yield schema
        if "$ref" in schema:
            yield from self._alternatives(self.definitions[schema["$ref"].rpartition("/")[2]])
        for key in ("anyOf", "oneOf", "allOf"):
            for option in schema.get(key, ()):
                yield from self._alternatives(option)


def _item(data: Any, key: str) -> Any:
    if isinstance(data, list):
        return next((item for item in data if _name(item) == key), None)
    return data.get(key) if isinstance(data, dict) else None


def _name(component: Any) -> str | None:
    """The name of a component in a list."""
    return component if isinstance(component, str) else _item(component, "name")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
