"""What the verbs share: two consoles, the ``--plugin`` option, and a runtime whose broken plugins are reported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from ..runtime import Runtime

PluginOption = Annotated[
    list[str] | None,
    typer.Option("--plugin", metavar="FILE|MODULE", help="Load a plugin from a .py file or a module. Repeatable."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Override recipe keys, such as train.epochs=1.", show_default=False),
]


def out() -> Console:
    """Where results go; a line is never cut where there is no terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=200, soft_wrap=True)


def complain(message: str, title: str = "error") -> None:
    """One message on the error stream, its lines as they are."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    style = "yellow" if title == "warning" else "red"
    console.print(Text.assemble((f"{title}: ", f"bold {style}"), message))


def make_runtime(plugins: Sequence[str] | None) -> Runtime:
    """A runtime with the installed plugins and those given; says which installed ones did not load."""
    from ..runtime import Runtime

    runtime = Runtime(plugins or ())
    for broken in runtime.broken:
        complain(f"{broken.reason}; it is left out", "warning")
    return runtime
