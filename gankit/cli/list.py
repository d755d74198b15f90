"""``gankit list``: list the registered components."""

from __future__ import annotations

from typing import Annotated

from typer import Argument

from .console import PluginOption, find_registry, make_runtime, make_table, output_console


def list_components(
    kind: Annotated[str | None, Argument(metavar="[KIND]", help="List this kind only, such as losses.")] = None,
    plugin: PluginOption = None,
) -> None:
    """List the registered components.

    Examples:

      gankit list

      gankit list losses --plugin my_gan.py
    """
    registries = make_runtime(plugin).registries
    chosen = registries if kind is None else [find_registry(registries, kind)]
    rows = [(registry.kind, entry.name, entry.plugin, entry.summary) for registry in chosen for entry in registry]
    table = make_table(rows, ("kind", "name", "plugin", "description"), no_wrap=("kind", "name"))
    output_console().print(table if rows else f"no registered {kind or 'components'}")
