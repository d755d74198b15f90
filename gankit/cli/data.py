"""``gankit data``: show, pack and encode the images of a dataset."""

from __future__ import annotations

import typer

from . import data_encode, data_pack, data_show


def make_data_app() -> typer.Typer:
    """The command with its subcommands."""
    app = typer.Typer(no_args_is_help=True)
    app.callback()(data)
    for name, command in (("show", data_show.show), ("pack", data_pack.pack), ("encode", data_encode.encode)):
        app.command(name)(command)
    return app


def data() -> None:
    """Show, pack and encode the images of a dataset.

    Examples:

      gankit data show photos --out examples.png

      gankit data pack photos photos64.zip --size 64

      gankit data encode latent.yaml --out encodings --plugin my_codec.py
    """
