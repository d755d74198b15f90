"""``gankit resume``: go on with a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import DataError
from .console import Overrides, PluginOption, make_runtime, out
from .training import restarted, stay_stopped, train


def resume(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run directory.", show_default=False)],
    overrides: Overrides = None,
    plugin: PluginOption = None,
) -> None:
    """Go on with a run from its newest checkpoint.

    On the same machine it ends as if it had never stopped. A longer run: override its length.

    Examples:

      gankit resume results/dcgan_cifar10

      gankit resume results/dcgan_cifar10 train.epochs=50
    """
    if restarted():
        stay_stopped(run_dir)
    runtime = make_runtime(plugin)
    try:
        trainer = runtime.resume(run_dir, overrides or ())
    except DataError as error:
        raise DataError(f"{run_dir}: {error}") from None
    if trainer.finished:
        out().print(f"{run_dir}: is finished: {trainer.state.step:,} steps; to train longer: train.steps=N")
        return
    train(trainer, plugin)
