"""``gankit data``: the commands that show, pack and encode images."""

from __future__ import annotations

import typer

from . import data_encode, data_pack, data_show


def make_data_app() -> typer.Typer:
    """The group ``gankit data``."""
    app = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Show, pack and encode the images of a dataset.",
    )
    for name, command in (("show", data_show.show), ("pack", data_pack.pack), ("encode", data_encode.encode)):
        app.command(name)(command)
    return app
