"""Shared by the commands: the output and error streams, tables, common options, and creating the runtime."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer import Argument, BadParameter, Exit, Option

from ..distributed.torchrun import rank
from ..errors import GankitError
from ..files import user_path
from ..messages import did_you_mean, quote, truncate
from ..sources import check_source

if TYPE_CHECKING:
    from ..registry import Registries, Registry
    from ..runtime import Runtime

WIDTH_WITHOUT_TERMINAL = 1000  # characters
MAX_MESSAGE_LINE = 4000  # characters
MAX_MESSAGE_WORD = 500  # characters: names and values may come from files and plugins


def parse_path(text: str | Path) -> Path:
    """The path that an argument or an option gives. Raises: BadParameter: it is empty or cannot be used."""
    if not str(text):
        raise BadParameter("is empty; give a path")
    try:
        return user_path(text)
    except ValueError as error:
        raise BadParameter(str(error)) from None


def parse_run_or_checkpoint(text: str | Path) -> Path:
    """A run or checkpoint that an argument names. Raises: BadParameter: its name is invalid."""
    if not str(text):
        raise BadParameter("is empty; give a path")
    try:
        return check_source(text)
    except ValueError as error:
        raise BadParameter(str(error)) from None


MAX_SEED = 2**63 - 1
PluginOption = Annotated[
    list[str] | None,
    Option("--plugin", metavar="FILE|MODULE", help="Load a plugin from a .py file or a module. Repeatable."),
]
DeviceOption = Annotated[str, Option("--device", metavar="auto|cpu|cuda", help="Device to compute on.")]
Overrides = Annotated[
    list[str] | None, Argument(metavar="KEY=VALUE", help="Override recipe keys, such as train.epochs=1.")
]
RecipeFile = Annotated[Path, Argument(metavar="RECIPE", parser=parse_path, help="A recipe file.")]
RunOrCheckpoint = Annotated[
    Path,
    Argument(
        metavar="RUN_DIR|CHECKPOINT",
        parser=parse_run_or_checkpoint,
        help="A run directory (its newest checkpoint), a checkpoint, hub:owner/name or builtin:NAME.",
    ),
]
RunDirectory = Annotated[Path, Argument(metavar="RUN_DIR", parser=parse_path, help="A run directory.")]


class _EscapingConsole(Console):
    """A console that escapes strings, which may contain text from files and plugins."""

    def print(self, *objects: Any, **kwargs: Any) -> None:
        super().print(*(escape(value) if isinstance(value, str) else value for value in objects), **kwargs)


def output_console() -> Console:
    """A console for standard output. It prints text literally, and wraps lines only on a terminal.

    Only rank 0 of the processes of torchrun prints to it.
    """
    console = _EscapingConsole(highlight=False, markup=False, emoji=False, quiet=rank() > 0)
    if not console.is_terminal:
        console.width = WIDTH_WITHOUT_TERMINAL
    return console


def is_terminal(console: Console) -> bool:
    """Whether a console writes to a terminal. With FORCE_COLOR, rich takes a pipe for one."""
    return console.is_terminal and console.file.isatty()


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
    words = re.sub(rf"\S{{{MAX_MESSAGE_WORD},}}", lambda word: truncate(word[0]), escape(message))
    lines = [truncate(line, MAX_MESSAGE_LINE) for line in words.split("\n")]
    console.print(Text.assemble((f"{title}: ", f"bold {style}"), "\n".join(lines)))


@contextmanager
def interruptible(message: str) -> Iterator[None]:
    """A block that Ctrl-C ends with ``interrupted``, this message and exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        print_message(f"interrupted{message}")
        raise Exit(130) from None


def escape(text: str) -> str:
    """Escape characters that are not printable, such as a terminal's control sequences, except for line breaks."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def make_table(
    rows: Iterable[Sequence[str | Text]],
    columns: Sequence[str] = (),
    right: Collection[str] = (),
    no_wrap: Collection[str] = (),
) -> Table:
    """A table of strings, which are escaped, and of styled texts, which are not. Long cells are folded.

    Args:
        rows: their cells.
        columns: their titles; without titles, each row is a name, printed in bold, and a value.
        right: the columns that are aligned to the right.
        no_wrap: the columns that are not folded.
    """
    table = Table(box=None, header_style="bold", show_header=bool(columns))
    if not columns:
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
    for name in columns:
        justify: Literal["right", "left"] = "right" if name in right else "left"
        table.add_column(escape(name), justify=justify, no_wrap=name in no_wrap, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) if isinstance(cell, str) else cell for cell in row))
    return table


def make_runtime(plugins: Sequence[str] | None) -> Runtime:
    """A runtime with the installed plugins and the given ones. Installed plugins that fail to load cause a warning."""
    from ..runtime import Runtime

    runtime = Runtime(plugins or ())
    for broken in runtime.broken:
        print_message(f"{broken.reason}; continuing without this plugin", "warning")
    return runtime


def find_registry(registries: Registries, kind: str) -> Registry:
    """The registry of a kind, given in the plural or the singular. Raises: GankitError: the kind is unknown."""
    for registry in registries:
        if kind in (registry.kind, registry.singular):
            return registry
    raise GankitError(f"unknown kind {quote(kind)}{did_you_mean(kind, vars(registries))}")
