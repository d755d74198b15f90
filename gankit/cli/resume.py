"""``gankit resume``: continue a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Exit, Option

from ..distributed.torchrun import restart_count
from ..runs.file_names import checkpoints
from .console import Overrides, PluginOption, RunDirectory, make_runtime, output_console
from .run_and_resume import exit_if_stopped, open_run, print_data, train_segments

if TYPE_CHECKING:
    from ..training.trainer import Trainer


def resume(
    run_dir: RunDirectory,
    overrides: Overrides = None,
    plugin: PluginOption = None,
    accept_changes: Annotated[
        bool, Option("--accept-changes", help="Continue although the data or the code of a plugin has changed.")
    ] = False,
    restart: Annotated[
        bool, Option("--restart", help="Train from the start if the run has lost its checkpoints or never had one.")
    ] = False,
) -> None:
    """Continue a run from its newest checkpoint.

    On the same machine, the result is the same as without the interruption. To train longer, override the length.

    Examples:

      gankit resume results/dcgan_cifar10

      gankit resume results/dcgan_cifar10 train.epochs=50
    """
    if restart_count():
        exit_if_stopped(run_dir)
        restart = restart or not checkpoints(run_dir)
    runtime = make_runtime(plugin)

    def start() -> Trainer:
        trainer = open_run(runtime, run_dir, overrides or (), accept_changes=accept_changes, restart=restart)
        if trainer.finished:
            output_console().print(
                f"{run_dir}: is finished: {trainer.state.step:,} steps; to train longer, add train.steps=N"
            )
            raise Exit
        print_data(trainer)
        return trainer

    train_segments(runtime, start, plugin, [*(overrides or ()), *(["--accept-changes"] if accept_changes else ())])
