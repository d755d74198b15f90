"""The command line: verbs, and what an error looks like. ``gankit --help`` imports no torch."""

from __future__ import annotations

import os
import sys
from importlib import metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .. import __version__
from ..errors import GankitError, PluginError, RecipeError
from . import bench, check, compare, doctor, evaluate, listing, plugins, resume, run, sample, show
from .console import complain, rank

COMMANDS = "gankit.commands"


class Verbs(TyperGroup):
    """Our verbs, and those of the entry-point group ``gankit.commands``, which load when called.

    (Contexts and commands are Any: typer brings its own copy of click's classes or uses click's, by its version.)
    """

    def list_commands(self, ctx: Any) -> list[str]:
        own = super().list_commands(ctx)
        return [*own, *sorted({point.name for point in metadata.entry_points(group=COMMANDS)} - set(own))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if own := super().get_command(ctx, cmd_name):
            return own
        found = metadata.entry_points(group=COMMANDS, name=cmd_name)
        return _Deferred(next(iter(found))) if found else None

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            complain("interrupted before the first step")
            raise typer.Exit(130) from None


class _Deferred(typer.core.TyperCommand):
    """A verb of another package: named in the help, imported when called."""

    def __init__(self, point: metadata.EntryPoint) -> None:
        from ..plugin_loader import distribution_of

        self._package = distribution_of(point)
        super().__init__(
            point.name,
            help=f"(from {self._package})",
            add_help_option=False,
            context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        )
        self._point = point

    def invoke(self, ctx: Any) -> Any:
        try:
            verb = self._point.load()
        except (Exception, SystemExit) as error:
            raise PluginError(f"the verb '{self.name}' of {self._package}: {type(error).__name__}: {error}") from error
        app = verb if isinstance(verb, typer.Typer) else typer.Typer()
        if app is not verb:
            app.command(self._point.name)(verb)
        return app(ctx.args, prog_name=ctx.command_path)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gankit {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train generative adversarial networks from recipes and plugins.

    Start with:  gankit run recipes/quickstart.yaml
    """


def make_app() -> typer.Typer:
    """The application with all verbs."""
    app = typer.Typer(
        cls=Verbs,
        name="gankit",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name, verb in (
        ("run", run.run),
        ("resume", resume.resume),
        ("check", check.check),
        ("list", listing.list_components),
        ("show", show.show),
        ("plugins", plugins.plugins),
        ("sample", sample.sample),
        ("eval", evaluate.evaluate),
        ("compare", compare.compare),
        ("doctor", doctor.doctor),
        ("bench", bench.bench),
    ):
        app.command(name)(verb)
    return app


def main() -> None:
    """Run the command line. A user's mistake is one message and exit code 2, never a traceback."""
    try:
        make_app()(prog_name="gankit")
    except GankitError as error:
        if not _is_told_elsewhere(error):
            complain(str(error))
        sys.exit(2)


def _is_told_elsewhere(error: GankitError) -> bool:
    """Whether another process has the same error, and tells it: what is in a recipe is in it for all."""
    if rank() == 0:
        return False
    from ..distributed.rank_failures import OtherProcessError

    local = int(os.environ.get("LOCAL_RANK") or 0)
    return isinstance(error, OtherProcessError) or (local > 0 and isinstance(error, (RecipeError, PluginError)))
