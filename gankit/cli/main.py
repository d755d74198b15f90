"""The command line: all commands, and how errors are printed. ``gankit --help`` does not import torch."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .. import __version__
from ..device.allocator import keep_freed_memory
from ..distributed.torchrun import rank, require_valid_environment
from ..errors import GankitError, PluginError, RecipeError
from . import (
    bench,
    check,
    compare,
    completion,
    data,
    directions,
    doctor,
    explore,
    export,
    import_weights,
    new,
    plugins,
    project,
    push,
    report,
    resume,
    run,
    sample,
    schema,
    search,
    show,
)
from . import eval as eval_command
from . import list as list_command
from .console import print_message
from .streams import forgiving_streams

ENTRY_POINTS = "gankit.commands"


class CommandGroup(TyperGroup):
    """Built-in commands, and those of the entry-point group ``gankit.commands``, which are imported when called.

    Contexts and commands are typed as Any because typer, depending on its version, uses click or its own copy of it.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        own = super().list_commands(ctx)
        return [*own, *sorted({point.name for point in metadata.entry_points(group=ENTRY_POINTS)} - set(own))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if own := super().get_command(ctx, cmd_name):
            return own
        found = metadata.entry_points(group=ENTRY_POINTS, name=cmd_name)
        return _LazyCommand(next(iter(found))) if found else None

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            trains = ctx.invoked_subcommand in ("run", "resume")
            print_message("interrupted before the first step" if trains else "interrupted")
            raise typer.Exit(130) from None
        except (MemoryError, RuntimeError) as error:
            from ..device.out_of_memory import is_out_of_memory, last_request

            if not is_out_of_memory(error):
                raise
            raise GankitError(f"out of memory{last_request(error)}: use fewer or smaller images") from error


class _LazyCommand(typer.core.TyperCommand):
    """A command of another package: listed in the help, imported when called."""

    def __init__(self, point: metadata.EntryPoint) -> None:
        from ..plugin_loader import distribution_of

        self._package = distribution_of(point)
        settings = {"ignore_unknown_options": True, "allow_extra_args": True}
        super().__init__(point.name, help=f"(from {self._package})", add_help_option=False, context_settings=settings)
        self._point = point

    def invoke(self, ctx: Any) -> Any:
        try:
            command = self._point.load()
        except (Exception, SystemExit) as error:
            raise PluginError(f"command '{self.name}' of {self._package}: {type(error).__name__}: {error}") from error
        app = command if isinstance(command, typer.Typer) else typer.Typer()
        if app is not command:
            app.command(self._point.name)(command)
        return app(ctx.args, prog_name=ctx.command_path)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"gankit {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train generative adversarial networks from recipes and plugins.

    Start with:  gankit run recipes/quickstart.yaml
    """


def make_app() -> typer.Typer:
    """The application with all commands."""
    app = typer.Typer(
        cls=CommandGroup,
        name="gankit",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name, command in (
        ("run", run.run),
        ("resume", resume.resume),
        ("check", check.check),
        ("list", list_command.list_components),
        ("show", show.show),
        ("schema", schema.schema),
        ("sample", sample.sample),
        ("project", project.project),
        ("directions", directions.directions),
        ("explore", explore.explore),
        ("eval", eval_command.evaluate),
        ("import", import_weights.import_weights),
        ("export", export.export),
        ("search", search.search),
        ("compare", compare.compare),
        ("report", report.report),
        ("doctor", doctor.doctor),
        ("bench", bench.bench),
        ("push", push.push),
        ("completion", completion.completion),
    ):
        app.command(name)(command)
    app.add_typer(data.make_data_app(), name="data")
    app.add_typer(new.make_new_app(), name="new")
    app.add_typer(plugins.make_plugins_app(), name="plugins")
    return app


def _exit_on_signals() -> None:
    """Let SIGTERM and SIGHUP end the process as an error does, so that it deletes its temporary files."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, lambda number, frame: sys.exit(128 + number))


def main() -> None:
    """Run the command line. Warnings and a `GankitError` are printed as plain messages; its exit code is 2.

    Output that cannot be written is discarded, and does not change the exit code.
    """
    keep_freed_memory()
    _exit_on_signals()
    atexit.register(gc.freeze)  # at exit, Python would search all objects of torch for cycles: half a second
    warnings.showwarning = lambda message, *_, **__: print_message(str(message), "warning")
    for name in ("COLUMNS", "LINES"):
        if not os.environ.get(name, "1").strip("0"):  # rich would print nothing on a terminal of the size 0
            del os.environ[name]
    with forgiving_streams(), _printed_log():
        try:
            require_valid_environment()
        except GankitError as error:  # `print_message` reads the rank from the environment
            sys.stderr.write(f"error: {error}\n")
            sys.exit(2)
        try:
            make_app()(prog_name="gankit")
        except GankitError as error:
            if not _printed_by_other_process(error):
                print_message(str(error))
            sys.exit(2)


@contextmanager
def _printed_log() -> Iterator[None]:
    """Print the messages of the logger ``gankit`` as warnings inside the block."""

    class Printer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            print_message(record.getMessage(), "warning")

    printer, logger = Printer(), logging.getLogger("gankit")
    logger.addHandler(printer)
    try:
        yield
    finally:
        logger.removeHandler(printer)


def _printed_by_other_process(error: GankitError) -> bool:
    """Whether another process prints the same error, since all processes read the same recipe and plugins."""
    if rank() == 0:
        return False
    from ..distributed.rank_failures import OtherProcessError

    local = int(os.environ.get("LOCAL_RANK") or 0)
    return isinstance(error, OtherProcessError) or (local > 0 and isinstance(error, (RecipeError, PluginError)))
