"""``gankit show``: show a component and its parameters."""

from __future__ import annotations

import inspect
import json
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from ..errors import GankitError
from .console import PluginOption, find_registry, make_runtime, output_console


def show(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="Such as generators.", show_default=False)],
    name: Annotated[str, typer.Argument(metavar="NAME", help="See gankit list.", show_default=False)],
    plugin: PluginOption = None,
) -> None:
    """Show a component: its description, its plugin, and the parameters that a recipe can set.

    Examples:

      gankit show generators dcgan

      gankit show losses bce
    """
    registry = find_registry(make_runtime(plugin).registries, kind)
    try:
        entry = registry.get(name)
    except KeyError as error:
        raise GankitError(str(error.args[0])) from None
    console = output_console()
    console.print(Text.assemble((entry.name, "bold"), f"  ({registry.kind}, plugin {entry.plugin})"))
    if text := inspect.getdoc(entry.factory):
        console.print(f"\n{text}\n")
    table = Table(box=None, header_style="bold")
    for column in ("parameter", "type", "default"):
        table.add_column(column, overflow="fold")
    schema = entry.schema.model_json_schema()
    for field in entry.schema.model_fields:
        property_schema = schema["properties"][field]
        required = field in schema.get("required", ())
        default = "required" if required else json.dumps(property_schema.get("default"))
        table.add_row(field, _describe(property_schema, schema.get("$defs", {})), default)
    if entry.schema.model_fields:
        console.print(table)
    else:
        console.print("It has no parameters.")


def _describe(schema: dict[str, Any], models: dict[str, Any]) -> str:
    """A short description of a JSON schema."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"{{{', '.join(f'{key}:' for key in models[name].get('properties', {}))}}}"
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return " or ".join(_describe(option, models) for option in options)
    if "enum" in schema or "const" in schema:
        return " | ".join(str(value) for value in schema.get("enum", [schema.get("const")]))
    items = schema.get("prefixItems")
    if items:
        return f"[{', '.join(_describe(item, models) for item in items)}]"
    if schema.get("type") == "array":
        return f"list of {_describe(schema.get('items', {}), models)}"
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    bounds = " and ".join(f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema)
    return " ".join([str(schema.get("type", "any")), bounds]).strip()
