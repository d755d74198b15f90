"""``gankit show``: one component and its parameters."""

from __future__ import annotations

import inspect
import json
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from ..errors import GankitError
from .console import PluginOption, find_kind, make_runtime, out


def show(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="Such as generators.", show_default=False)],
    name: Annotated[str, typer.Argument(metavar="NAME", help="As in gankit list.", show_default=False)],
    plugin: PluginOption = None,
) -> None:
    """Show a component: what it is, where it comes from, and the parameters that a recipe can give it.

    Examples:

      gankit show generators dcgan

      gankit show losses bce
    """
    registry = find_kind(make_runtime(plugin).registries, kind)
    try:
        entry = registry.get(name)
    except KeyError as error:
        raise GankitError(str(error.args[0])) from None
    console = out()
    console.print(Text.assemble((entry.name, "bold"), f"  ({registry.kind}, plugin {entry.plugin})"))
    if text := inspect.getdoc(entry.factory):
        console.print(f"\n{text}\n")
    table = Table(box=None, header_style="bold")
    for column in ("parameter", "type", "default"):
        table.add_column(column, overflow="fold")
    schema = entry.schema.model_json_schema()
    for field in entry.schema.model_fields:
        about = schema["properties"][field]
        required = field in schema.get("required", ())
        default = "required" if required else json.dumps(about.get("default"))
        table.add_row(field, _type(about, schema.get("$defs", {})), default)
    if entry.schema.model_fields:
        console.print(table)
    else:
        console.print("It takes no parameters.")


def _type(about: dict[str, Any], models: dict[str, Any]) -> str:
    """A JSON schema in a few words."""
    if "$ref" in about:
        name = about["$ref"].rpartition("/")[2]
        return f"{{{', '.join(f'{key}:' for key in models[name].get('properties', {}))}}}"
    options = about.get("anyOf") or about.get("oneOf")
    if options:
        return " or ".join(_type(option, models) for option in options)
    if "enum" in about or "const" in about:
        return " | ".join(str(value) for value in about.get("enum", [about.get("const")]))
    items = about.get("prefixItems")
    if items:
        return f"[{', '.join(_type(item, models) for item in items)}]"
    if about.get("type") == "array":
        return f"list of {_type(about.get('items', {}), models)}"
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    bounds = " and ".join(f"{sign} {about[key]:g}" for key, sign in signs.items() if key in about)
    return " ".join([str(about.get("type", "any")), bounds]).strip()
