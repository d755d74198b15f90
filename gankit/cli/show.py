"""``gankit show``: show a component and its parameters, or the keys of a recipe."""

from __future__ import annotations

import inspect
import json
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

from rich.text import Text
from typer import Argument

from ..errors import GankitError, RegistrationError
from ..messages import did_you_mean, quote
from .console import PluginOption, find_registry, make_runtime, make_table, output_console
from .list import list_components

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ..registered_component import Entry


def show(
    kind: Annotated[str, Argument(metavar="KIND|recipe|SECTION", help="Such as generators, recipe or train.")],
    name: Annotated[
        str | None, Argument(metavar="NAME", help="See gankit list. Without it, the components of the kind are listed.")
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Show a component with the parameters that a recipe can set, or the keys of a recipe or of one of its sections.

    Examples:

      gankit show generators dcgan

      gankit show losses bce

      gankit show recipe

      gankit show train
    """
    from ..recipe.model import sections

    if kind == "recipe":
        _show_keys(name)
        return
    if name is None:
        registries = make_runtime(plugin).registries
        if kind in sections():
            _show_keys(kind)
        if kind not in sections() or kind in {word for r in registries for word in (r.kind, r.singular)}:
            list_components(kind, plugin)
        return
    registry = find_registry(make_runtime(plugin).registries, kind)
    if name not in registry:
        raise GankitError(registry.unknown(name))
    entry = registry.get(name)
    console = output_console()
    console.print(Text.assemble((entry.name, "bold"), f"  ({registry.kind}, plugin {entry.plugin})"))
    if text := entry.documentation:
        console.print(f"\n{text}\n")
    rows = list(parameter_rows(entry.schema))
    console.print(make_table(rows, ("parameter", "type", "default")) if rows else "It has no parameters.")
    if options := list(sampling_option_rows(entry)):
        console.print("\nOptions of gankit sample:")
        console.print(make_table(options, ("option", "type", "default")))


def sampling_option_rows(entry: Entry) -> Iterator[tuple[str, str, str]]:
    """Name, type and default of the sampling options of a generator or game that is a class."""
    from ..registry import signature_schema

    method = getattr(entry.factory, {"generators": "forward", "games": "generate"}.get(entry.kind, ""), None)
    if method is not None:
        with suppress(RegistrationError):  # it takes any options, as the base classes do
            yield from parameter_rows(signature_schema(method, ("self",), entry.name, ignore_variable=True))


def _show_keys(section: str | None) -> None:
    """Print the keys of a section; None stands for the whole recipe. Raises: GankitError: unknown section."""
    from ..recipe.model import Recipe, attribute_texts, sections

    known = sections()
    if section is not None and section not in known:
        if section not in Recipe.model_fields:
            raise GankitError(f"recipe: unknown section {quote(section)}{did_you_mean(section, known)}")
        raise GankitError(
            f"recipe: '{section}' is a single key without keys of its own; gankit show recipe describes it, and gankit "
            "show KIND NAME the parameters of a component"
        )
    console = output_console()
    for name in (None, *known) if section is None else (section,):
        model = Recipe if name is None else known[name]
        described = attribute_texts(model)
        rows = [(*row, described.get(row[0], "")) for row in parameter_rows(model)]
        title = "recipe" if name is None else name
        console.print(Text.assemble((title, "bold"), f": {(inspect.getdoc(model) or '').partition(chr(10))[0]}"))
        console.print(make_table(rows, ("key", "type", "default", "description"), no_wrap=("key",)))
        console.print()


def parameter_rows(model: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    """Name, type and default of each field."""
    from ..recipe.model import sections

    section_names = {section.__name__ for section in sections().values()}
    schema = model.model_json_schema()
    for field, own in schema["properties"].items():
        required = field in schema.get("required", ()) and "default" not in own
        default = "required" if required else _format_default(own.get("default"))
        yield field, _describe(own, schema.get("$defs", {}), section_names), default


def _format_default(default: Any) -> str:
    """The default as written in a recipe; a section has its defaults in a table of its own."""
    if not isinstance(default, dict) or not default:
        return json.dumps(default)
    if "name" not in default:
        return "see below"
    return str(default["name"]) if len(default) == 1 else json.dumps(default)


def _describe(schema: dict[str, Any], models: dict[str, Any], section_names: Collection[str] = ()) -> str:
    """A short description of a JSON schema."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if models[name].get("additionalProperties") is True:
            return "component"
        if name in section_names:
            return "section"
        return f"{{{', '.join(f'{key}:' for key in models[name].get('properties', {}))}}}"
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(_describe(option, models, section_names) for option in options)
    if "enum" in schema or "const" in schema:
        return " | ".join(str(value) for value in schema.get("enum", [schema.get("const")]))
    if items := schema.get("prefixItems"):
        return f"[{', '.join(_describe(item, models) for item in items)}]"
    if schema.get("type") == "array":
        return f"list of {_describe(schema.get('items', {}), models)}"
    if schema.get("type") == "object":
        return "mapping"
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    # the bound of integers of 64 bits is left out: nobody reaches it
    found = {sign: schema[key] for key, sign in signs.items() if key in schema and schema[key] != 2**63}
    bounds = " and ".join(f"{sign} {_format_bound(bound)}" for sign, bound in found.items())
    return " ".join([str(schema.get("type", "any")), bounds]).strip()


def _format_bound(bound: float) -> str:
    """A whole number without a decimal point."""
    return str(int(bound)) if bound == int(bound) else str(bound)
