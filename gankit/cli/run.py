"""``gankit run``: train a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from ..distributed.torchrun import restart_count
from ..errors import DataError, GankitError
from ..runs.file_names import RECIPE
from .console import Overrides, PluginOption, RecipeFile, make_runtime, output_console, parse_path
from .resume import resume
from .run_and_resume import print_data, train_segments
from .task_progress import TaskProgress

if TYPE_CHECKING:
    from ..recipe.checked_recipe import CheckedRecipe
    from ..runtime import Runtime
    from ..training.trainer import Trainer


def run(
    recipe: RecipeFile,
    overrides: Overrides = None,
    plugin: PluginOption = None,
    directory: Annotated[
        Path | None,
        Option(
            "--out",
            metavar="DIR",
            parser=parse_path,
            help="Run directory (default: results/NAME, numbered if it exists).",
        ),
    ] = None,
) -> None:
    """Train a recipe.

    If torchrun restarts a run with --out after a failure, the run continues from its newest checkpoint.

    Examples:

      gankit run recipes/quickstart.yaml

      gankit run recipes/dcgan_cifar10.yaml train.epochs=1 loader.batch_size=128

      gankit run my_recipe.yaml --plugin my_gan.py --out results/mine

      torchrun --nproc-per-node 2 -m gankit run my_recipe.yaml --out results/mine
    """
    if restart_count():
        if directory is None:
            raise GankitError(
                "torchrun restarted this run, but without --out DIR its directory is unknown; "
                "continue with gankit resume RUN_DIR, and pass --out next time"
            )
        recipe_file = directory / RECIPE
        if recipe_file.is_file() and recipe_file.stat().st_size:
            return resume(directory, plugin=plugin)
    runtime = make_runtime(plugin)
    checked = runtime.load_checked(recipe, overrides or ())
    return train_segments(runtime, lambda: assemble(runtime, checked, directory), plugin)


def assemble(runtime: Runtime, checked: CheckedRecipe, directory: Path | None) -> Trainer:
    """The trainer of a recipe. Raises: RecipeError: also where its data cause a `DataError`."""
    output_console().print(f"preparing {checked.recipe.dataset.name} ...")
    try:
        with TaskProgress() as progress:
            trainer = runtime.assemble(checked, directory, report=progress.report)
    except DataError as error:
        raise checked.recipe.document.error(("dataset",), str(error)) from None
    print_data(trainer)
    return trainer
