"""``gankit schema``: write the JSON Schema of recipes, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from ..files import write_text
from .console import PluginOption, make_runtime, output_console, parse_path


def schema(
    out: Annotated[
        Path | None,
        Option(
            "--out", metavar="FILE", parser=parse_path, help="Write the schema to this file instead of printing it."
        ),
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Write the JSON Schema of recipes with all installed components, with which editors check and complete recipes.

    A recipe names its schema in a comment:  # yaml-language-server: $schema=schema.json

    Examples:

      gankit schema --out schema.json

      gankit schema --out schema.json --plugin my_gan.py
    """
    from ..assembly.recipe_schema import recipe_schema

    text = json.dumps(recipe_schema(make_runtime(plugin).registries), indent=1) + "\n"
    if out is None:
        typer.echo(text, nl=False)
        return
    write_text(out, text)
    output_console().print(f"{out}: the schema of recipes")
