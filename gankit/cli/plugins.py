"""``gankit plugins``: list the plugins."""

from __future__ import annotations

from rich.text import Text

from .console import PluginOption, escape, make_table, output_console


def plugins(plugin: PluginOption = None) -> None:
    """List the plugins: where each is installed, what it registers, and why a plugin did not load.

    Examples:

      gankit plugins

      gankit plugins --plugin my_gan.py
    """
    from ..runtime import Runtime

    runtime = Runtime(plugin or ())
    rows: list[tuple[str, str, str | Text]] = []
    for loaded in runtime.plugins:
        parts = [f"{kind}: {', '.join(names)}" for kind, names in loaded.components.items()]
        rows.append((loaded.name, loaded.source, "; ".join(parts) or "hooks only"))
    for broken in runtime.broken:
        rows.append((broken.name, broken.source, Text.assemble(("did not load: ", "red"), escape(broken.reason))))
    output_console().print(make_table(rows, ("plugin", "from", "registers")))
