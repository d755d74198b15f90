"""``gankit show``: show a component and its parameters."""

from __future__ import annotations

import inspect
import json
from typing import Annotated, Any

from rich.text import Text
from typer import Argument

from ..errors import GankitError
from .console import PluginOption, find_registry, make_runtime, make_table, output_console


def show(
    kind: Annotated[str, Argument(metavar="KIND", help="Such as generators.")],
    name: Annotated[str, Argument(metavar="NAME", help="See gankit list.")],
    plugin: PluginOption = None,
) -> None:
    """Show a component: its description, its plugin, and the parameters that a recipe can set.

    Examples:

      gankit show generators dcgan

      gankit show losses bce
    """
    registry = find_registry(make_runtime(plugin).registries, kind)
    if name not in registry:
        raise GankitError(registry.unknown(name))
    entry = registry.get(name)
    console = output_console()
    console.print(Text.assemble((entry.name, "bold"), f"  ({registry.kind}, plugin {entry.plugin})"))
    if text := inspect.getdoc(entry.factory):
        console.print(f"\n{text}\n")
    schema = entry.schema.model_json_schema()
    rows = []
    for field in entry.schema.model_fields:
        property_schema = schema["properties"][field]
        required = field in schema.get("required", ())
        default = "required" if required else json.dumps(property_schema.get("default"))
        rows.append((field, _describe(property_schema, schema.get("$defs", {})), default))
    console.print(make_table(rows, ("parameter", "type", "default")) if rows else "It has no parameters.")


def _describe(schema: dict[str, Any], models: dict[str, Any]) -> str:
    """A short description of a JSON schema."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"{{{', '.join(f'{key}:' for key in models[name].get('properties', {}))}}}"
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(_describe(option, models) for option in options)
    if "enum" in schema or "const" in schema:
        return " | ".join(str(value) for value in schema.get("enum", [schema.get("const")]))
    if items := schema.get("prefixItems"):
        return f"[{', '.join(_describe(item, models) for item in items)}]"
    if schema.get("type") == "array":
        return f"list of {_describe(schema.get('items', {}), models)}"
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    bounds = " and ".join(f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema)
    return " ".join([str(schema.get("type", "any")), bounds]).strip()
