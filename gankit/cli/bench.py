"""``gankit bench``: measure how fast a recipe trains, and how its time is spent."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ..errors import DataError, GankitError, RecipeError
from .console import Overrides, PluginOption, make_runtime, output_console, print_message

if TYPE_CHECKING:
    from ..profiling.step_profile import StepProfile
    from ..training.trainer import Trainer


def bench(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe file.", show_default=False)],
    overrides: Overrides = None,
    device: Annotated[
        str | None, typer.Option(metavar="cpu|cuda", help="Device that replaces the recipe's.", show_default=False)
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Number of steps to measure, after 10 warm-up steps.")] = 100,
    plugin: PluginOption = None,
) -> None:
    """Benchmark a recipe: images per second, time of each part of a step, memory and device utilization.

    The run is in a temporary folder, which is deleted afterwards. The measured steps include their callbacks.

    Examples:

      gankit bench recipes/dcgan_cifar10.yaml

      gankit bench recipes/quickstart.yaml train.precision=fp32 --device cpu --steps 20
    """
    if int(os.environ.get("WORLD_SIZE") or 1) > 1:
        raise GankitError("gankit bench measures a single process; start it without torchrun")
    runtime = make_runtime(plugin)
    checked = runtime.load_checked(recipe, [*(overrides or ()), *([f"train.device={device}"] if device else ())])
    console = output_console()
    try:
        with _temporary_folder() as folder:
            console.print(f"preparing {checked.recipe.dataset.name} ...")
            try:
                trainer = runtime.assemble(checked, folder / "run")
            except DataError as error:
                raise RecipeError([checked.recipe.document.problem(("dataset",), str(error))]) from None
            console.print(f"measuring {steps:,} steps of {checked.recipe.name} ...")
            profile = _measure(trainer, steps)
    except KeyboardInterrupt:
        print_message("interrupted before the measurement was complete")
        raise typer.Exit(130) from None
    _print_profile(trainer, profile)


def _measure(trainer: Trainer, steps: int) -> StepProfile:
    """Raises: GankitError: the run fails before its first step. typer.Exit: with code 1: it fails later."""
    from ..profiling.step_profile import profile_steps

    try:
        return profile_steps(trainer, steps)
    except GankitError as error:
        if trainer.state.step == 0:
            raise
        print_message(str(error))
        raise typer.Exit(1) from None


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder that is deleted afterwards, also when the process receives SIGTERM."""

    def exit_process(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    previous = signal.signal(signal.SIGTERM, exit_process)
    try:
        with tempfile.TemporaryDirectory(prefix="gankit-bench-") as folder:
            yield Path(folder)
    finally:
        signal.signal(signal.SIGTERM, previous)


def _print_profile(trainer: Trainer, profile: StepProfile) -> None:
    from ..training.callbacks import CALLBACKS
    from ..training.step import OTHER

    about, images = trainer.setup.about, profile.images
    batch = trainer.recipe.loader.batch_size
    device = f"{about['device']} ({about['threads']} threads)" if about["device"] == "cpu" else about["device"]
    console = output_console()
    console.print(f"\n{trainer.recipe.name} on {device} in {about['precision']}, batch size {batch}\n")

    parts = Table(box=None, header_style="bold")
    parts.add_column("part of a step")
    parts.add_column("ms", justify="right")
    parts.add_column("share", justify="right")
    total = sum(profile.parts.values())

    def add(name: str, seconds: float) -> None:
        parts.add_row(name, f"{1000 * seconds / profile.steps:,.2f}", f"{seconds / total:.1%}")

    for part, seconds in profile.parts.items():
        if seconds or part == OTHER:
            add(part, seconds)
        if part == CALLBACKS:
            for name, own in sorted(profile.callbacks.items(), key=lambda item: -item[1]):
                add(f"  {name}", own)
    add("total", total)
    console.print(parts)

    achieved = profile.flops / profile.seconds
    memory = "allocated on the device" if about["device"].startswith("cuda") else "by this process"
    totals = Table(box=None, show_header=False)
    totals.add_column(style="bold")
    totals.add_column()
    milliseconds = 1000 * profile.seconds / profile.steps
    totals.add_row("speed", f"{images / profile.seconds:,.1f} images/s ({milliseconds:,.2f} ms per step)")
    totals.add_row("peak memory", f"{profile.peak_bytes / 2**20:,.0f} MiB {memory}")
    totals.add_row("computed", f"{profile.flops / images / 1e9:,.3f} GFLOP per image")
    totals.add_row(
        "achieved",
        f"{achieved / 1e12:,.3f} TFLOP/s, {achieved / profile.peak_flops:.1%} of the "
        f"{profile.peak_flops / 1e12:,.2f} that large matrix products reach on this device in {about['precision']}",
    )
    console.print()
    console.print(totals)
