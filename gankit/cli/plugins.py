"""``gankit plugins``: list the plugins."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from .console import PluginOption, output_console


def plugins(plugin: PluginOption = None) -> None:
    """List the plugins: where each is installed, what it registers, and why a plugin did not load.

    Examples:

      gankit plugins

      gankit plugins --plugin my_gan.py
    """
    from ..runtime import Runtime

    runtime = Runtime(plugin or ())
    table = Table(box=None, header_style="bold")
    for column in ("plugin", "from", "registers"):
        table.add_column(column, overflow="fold")
    for loaded in runtime.plugins:
        parts = [f"{kind}: {', '.join(names)}" for kind, names in loaded.components.items()]
        table.add_row(loaded.name, loaded.source, "; ".join(parts) or "hooks only")
    for broken in runtime.broken:
        table.add_row(broken.name, broken.source, Text.assemble(("did not load: ", "red"), broken.reason))
    output_console().print(table)
