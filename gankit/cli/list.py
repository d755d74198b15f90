"""``gankit list``: list the registered components."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from .console import PluginOption, find_registry, make_runtime, output_console


def list_components(
    kind: Annotated[
        str | None,
        typer.Argument(metavar="[KIND]", help="List this kind only, such as losses.", show_default=False),
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """List the registered components.

    Examples:

      gankit list

      gankit list losses --plugin my_gan.py
    """
    registries = make_runtime(plugin).registries
    chosen = registries if kind is None else [find_registry(registries, kind)]
    table = Table(box=None, header_style="bold")
    for column in ("kind", "name", "plugin", "description"):
        table.add_column(column, overflow="fold", no_wrap=column in ("kind", "name"))
    for registry in chosen:
        for entry in registry:
            table.add_row(registry.kind, entry.name, entry.plugin, entry.summary)
    output_console().print(table if table.row_count else f"there are no {kind or 'components'}")
