"""What commands share: the output and error streams, common options, and creating the runtime."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ..errors import GankitError
from ..messages import truncate

if TYPE_CHECKING:
    from ..registry import Registries, Registry
    from ..runtime import Runtime

WIDTH_WITHOUT_TERMINAL = 1000  # characters
MAX_MESSAGE_LINE = 4000  # characters
PluginOption = Annotated[
    list[str] | None,
    typer.Option("--plugin", metavar="FILE|MODULE", help="Load a plugin from a .py file or a module. Repeatable."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Override recipe keys, such as train.epochs=1.", show_default=False),
]


def rank() -> int:
    """The rank among the processes of torchrun. Rank 0 prints everything, other ranks print errors only."""
    several = int(os.environ.get("WORLD_SIZE") or 1) > 1
    return int(os.environ.get("RANK") or 0) if several else 0


def output_console() -> Console:
    """A console for standard output. It prints text literally, and does not wrap lines if there is no terminal."""
    quiet = rank() > 0
    console = _EscapingConsole(highlight=False, markup=False, emoji=False, quiet=quiet)
    if console.is_terminal:
        return console
    return _EscapingConsole(highlight=False, markup=False, emoji=False, quiet=quiet, width=WIDTH_WITHOUT_TERMINAL)


def print_message(message: str, title: str = "error") -> None:
    """Print a message to standard error, with control characters escaped except for line breaks.

    Args:
        message: one or more lines.
        title: printed before it, such as ``error`` or ``warning``. Ranks other than 0 print errors only.
    """
    if rank() > 0:
        if title != "error":
            return
        title = f"process {rank()}: error"
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    style = "yellow" if title == "warning" else "red"
    lines = [truncate(escape(line), MAX_MESSAGE_LINE) for line in message.split("\n")]
    console.print(Text.assemble((f"{title}: ", f"bold {style}"), "\n".join(lines)))


def escape(text: str) -> str:
    """Escape characters that are not printable, such as a terminal's control sequences."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _escape_lines(text: str) -> str:
    return "\n".join(map(escape, text.split("\n")))


class _EscapedTable:
    """A table whose cells are escaped; rich's own control segments are kept."""

    def __init__(self, table: RenderableType) -> None:
        self._table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._table, options):
            yield segment if segment.control else Segment(_escape_lines(segment.text), segment.style)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._table)


class _EscapingConsole(Console):
    """Escapes strings and tables, which may contain text from files and plugins."""

    def print(self, *objects: Any, **kwargs: Any) -> None:
        super().print(*map(_escaped, objects), **kwargs)


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return _escape_lines(value)
    return _EscapedTable(value) if isinstance(value, Table) else value


def make_runtime(plugins: Sequence[str] | None) -> Runtime:
    """A runtime with the installed plugins and the given ones. Installed plugins that fail to load cause a warning."""
    from ..runtime import Runtime

    runtime = Runtime(plugins or ())
    for broken in runtime.broken:
        print_message(f"{broken.reason}; continuing without this plugin", "warning")
    return runtime


def find_registry(registries: Registries, kind: str) -> Registry:
    """The registry of a kind, given in the plural or the singular. Raises: GankitError: there is no such kind."""
    from ..messages import did_you_mean

    for registry in registries:
        if kind in (registry.kind, registry.singular):
            return registry
    raise GankitError(f"there is no kind {kind!r}{did_you_mean(kind, vars(registries))}")
