"""``gankit list``: what there is."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from ..errors import GankitError
from .console import PluginOption, make_runtime, out


def list_components(
    kind: Annotated[str | None, typer.Argument(metavar="[KIND]", help="Only this kind.", show_default=False)] = None,
    plugin: PluginOption = None,
) -> None:
    """List the registered components.

    Examples:

      gankit list

      gankit list losses --plugin my_gan.py
    """
    from ..registry import did_you_mean

    registries = make_runtime(plugin).registries.by_kind()
    if kind is not None and kind not in registries:
        raise GankitError(f"no kind is called {kind!r}{did_you_mean(kind, registries)}")
    table = Table(box=None, header_style="bold")
    for column in ("kind", "name", "plugin", "what it is"):
        table.add_column(column)
    for registry in [registries[kind]] if kind else registries.values():
        for entry in registry:
            table.add_row(registry.kind, entry.name, entry.plugin, entry.summary)
    out().print(table)
