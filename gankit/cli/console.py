"""What the verbs share: two consoles, the ``--plugin`` option, and a runtime whose broken plugins are reported."""

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

LONGEST_LINE = 1000
LONGEST_COMPLAINT = 4000  # characters of a line
PluginOption = Annotated[
    list[str] | None,
    typer.Option("--plugin", metavar="FILE|MODULE", help="Load a plugin from a .py file or a module. Repeatable."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Override recipe keys, such as train.epochs=1.", show_default=False),
]


def rank() -> int:
    """Of this process among those that torchrun has started: the first alone talks, the others only of their errors."""
    several = int(os.environ.get("WORLD_SIZE") or 1) > 1
    return int(os.environ.get("RANK") or 0) if several else 0


def out() -> Console:
    """Where results go: text as it is, whatever brackets it has; a line is never cut where there is no terminal."""
    quiet = rank() > 0
    console = _PlainConsole(highlight=False, markup=False, emoji=False, quiet=quiet)
    if console.is_terminal:
        return console
    return _PlainConsole(highlight=False, markup=False, emoji=False, quiet=quiet, width=LONGEST_LINE)


def complain(message: str, title: str = "error") -> None:
    """One message on the error stream, its lines as they are, and nothing in it that could steer a terminal."""
    if rank() > 0:
        if title != "error":
            return
        title = f"process {rank()}: error"
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    style = "yellow" if title == "warning" else "red"
    lines = [truncate(plain(line), LONGEST_COMPLAINT) for line in message.split("\n")]
    console.print(Text.assemble((f"{title}: ", f"bold {style}"), "\n".join(lines)))


def plain(text: str) -> str:
    """With nothing in it that could steer a terminal: what is not printable is escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class _Plain:
    """What is printed as text, not to steer a terminal."""

    def __init__(self, inner: RenderableType) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._inner, options):
            if segment.control:
                yield segment
            else:
                yield Segment("\n".join(map(plain, segment.text.split("\n"))), segment.style)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._inner)


class _PlainConsole(Console):
    """Prints names and words of strangers as what they are: text."""

    def print(self, *objects: Any, **how: Any) -> None:
        super().print(*(_plain_object(thing) for thing in objects), **how)


def _plain_object(thing: Any) -> Any:
    if isinstance(thing, str):
        return "\n".join(map(plain, thing.split("\n")))
    return _Plain(thing) if isinstance(thing, Table) else thing


def make_runtime(plugins: Sequence[str] | None) -> Runtime:
    """A runtime with the installed plugins and those given; says which installed ones did not load."""
    from ..runtime import Runtime

    runtime = Runtime(plugins or ())
    for broken in runtime.broken:
        complain(f"{broken.reason}; it is left out", "warning")
    return runtime


def find_kind(registries: Registries, kind: str) -> Registry[Any]:
    """The registry that ``kind`` names, in the plural or the singular. Raises: GankitError."""
    from ..messages import did_you_mean

    by_kind = registries.by_kind()
    for registry in registries:
        if kind in (registry.kind, registry.singular):
            return registry
    raise GankitError(f"no kind is called {kind!r}{did_you_mean(kind, by_kind)}")
