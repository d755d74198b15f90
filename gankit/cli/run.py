"""``gankit run``: train a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import DataError, GankitError, RecipeError
from ..runs.file_names import RECIPE
from .console import Overrides, PluginOption, make_runtime, out
from .resume import resume
from .training import restarted, train


def run(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe file.", show_default=False)],
    overrides: Overrides = None,
    plugin: PluginOption = None,
    directory: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The run directory itself, instead of the next under results/."),
    ] = None,
) -> None:
    """Train a recipe. Started again by torchrun after a failure, a run with --out goes on where it stopped.

    Examples:

      gankit run recipes/quickstart.yaml

      gankit run recipes/dcgan_cifar10.yaml train.epochs=1 loader.batch_size=128

      gankit run my_recipe.yaml --plugin my_gan.py --out results/mine

      torchrun --nproc-per-node 2 -m gankit run my_recipe.yaml --out results/mine
    """
    if restarted():
        if directory is None:
            raise GankitError(
                "torchrun has started this run again, and without --out DIR none can tell which directory is its own; "
                "go on with gankit resume RUN_DIR, and next time name the directory"
            )
        recipe_file = directory / RECIPE
        if recipe_file.is_file() and recipe_file.stat().st_size:
            return resume(directory, plugin=plugin)
    runtime = make_runtime(plugin)
    checked = runtime.load(recipe, overrides or ())
    out().print(f"preparing {checked.recipe.dataset.name} ...")
    try:
        trainer = runtime.assemble(checked, directory)
    except DataError as error:
        raise RecipeError([checked.recipe.document.problem(("dataset",), str(error))]) from None
    return train(trainer, plugin)
