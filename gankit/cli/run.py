"""``gankit run``: train a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import DataError, RecipeError
from .console import Overrides, PluginOption, make_runtime, out
from .training import train


def run(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe file.", show_default=False)],
    overrides: Overrides = None,
    plugin: PluginOption = None,
    directory: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The run directory itself, instead of the next under results/."),
    ] = None,
) -> None:
    """Train a recipe.

    Examples:

      gankit run recipes/quickstart.yaml

      gankit run recipes/dcgan_cifar10.yaml train.epochs=1 loader.batch_size=128

      gankit run my_recipe.yaml --plugin my_gan.py --out results/mine
    """
    runtime = make_runtime(plugin)
    checked = runtime.load(recipe, overrides or ())
    out().print(f"preparing {checked.dataset.name} ...")
    try:
        trainer = runtime.assemble(checked, directory)
    except DataError as error:
        raise RecipeError([checked.document.problem(("dataset",), str(error))]) from None
    train(trainer, plugin)
