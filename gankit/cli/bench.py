"""``gankit bench``: how fast a recipe trains here, and what its time goes into."""

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
from .console import Overrides, PluginOption, complain, make_runtime, out

if TYPE_CHECKING:
    from ..profiling.step_profile import StepProfile
    from ..training.trainer import Trainer


def bench(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe file.", show_default=False)],
    overrides: Overrides = None,
    device: Annotated[
        str | None, typer.Option(metavar="cpu|cuda", help="The device, instead of the recipe's.", show_default=False)
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps to measure, after ten of warm-up.")] = 100,
    plugin: PluginOption = None,
) -> None:
    """Measure a recipe: images a second, what each part of a step takes, memory, and use of the device.

    It trains in a temporary folder and leaves nothing behind. Callbacks count as they fall in the steps measured.

    Examples:

      gankit bench recipes/dcgan_cifar10.yaml

      gankit bench recipes/quickstart.yaml train.precision=fp32 --device cpu --steps 20
    """
    if int(os.environ.get("WORLD_SIZE") or 1) > 1:
        raise GankitError("gankit bench measures one process; start it without torchrun")
    runtime = make_runtime(plugin)
    words = [*(overrides or ()), *([f"train.device={device}"] if device else ())]
    checked = runtime.load(recipe, words)
    console = out()
    try:
        with _temporary_folder() as folder:
            console.print(f"preparing {checked.recipe.dataset.name} ...")
            try:
                trainer = runtime.assemble(checked, folder / "run")
            except DataError as error:
                raise RecipeError([checked.recipe.document.problem(("dataset",), str(error))]) from None
            console.print(f"measuring {steps:,} steps of {checked.recipe.name} ...")
            measured = _measure(trainer, steps)
    except KeyboardInterrupt:
        complain("interrupted before all was measured")
        raise typer.Exit(130) from None
    _print(trainer, measured)


def _measure(trainer: Trainer, steps: int) -> StepProfile:
    """Raises: GankitError before the first step; typer.Exit with 1 after it."""
    from ..profiling.step_profile import profile_steps

    try:
        return profile_steps(trainer, steps)
    except GankitError as error:
        if trainer.state.step == 0:
            raise
        complain(str(error))
        raise typer.Exit(1) from None


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder that is gone afterwards, also where this process is told to end."""

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        with tempfile.TemporaryDirectory(prefix="gankit-bench-") as folder:
            yield Path(folder)
    finally:
        signal.signal(signal.SIGTERM, before)


def _print(trainer: Trainer, measured: StepProfile) -> None:
    from ..training.callbacks import CALLBACKS
    from ..training.step import OTHER

    about, images = trainer.setup.about, measured.images
    batch = trainer.recipe.loader.batch_size
    where = f"{about['device']} ({about['threads']} threads)" if about["device"] == "cpu" else about["device"]
    console = out()
    console.print(f"\n{trainer.recipe.name} on {where} in {about['precision']}, batches of {batch}\n")

    parts = Table(box=None, header_style="bold")
    parts.add_column("part of a step")
    parts.add_column("ms", justify="right")
    parts.add_column("share", justify="right")
    whole = sum(measured.parts.values())

    def add(name: str, seconds: float) -> None:
        parts.add_row(name, f"{1000 * seconds / measured.steps:,.2f}", f"{seconds / whole:.1%}")

    for part, seconds in measured.parts.items():
        if seconds or part == OTHER:
            add(part, seconds)
        if part == CALLBACKS:
            for name, own in sorted(measured.callbacks.items(), key=lambda item: -item[1]):
                add(f"  {name}", own)
    add("all", whole)
    console.print(parts)

    achieved = measured.flops / measured.seconds
    memory = "allocated on the device" if about["device"].startswith("cuda") else "of this process"
    facts = Table(box=None, show_header=False)
    facts.add_column(style="bold")
    facts.add_column()
    milliseconds = 1000 * measured.seconds / measured.steps
    facts.add_row("speed", f"{images / measured.seconds:,.1f} images/s ({milliseconds:,.2f} ms a step)")
    facts.add_row("peak memory", f"{measured.peak_bytes / 2**20:,.0f} MiB {memory}")
    facts.add_row("computed", f"{measured.flops / images / 1e9:,.3f} GFLOP an image")
    facts.add_row(
        "achieved",
        f"{achieved / 1e12:,.3f} TFLOP/s, {achieved / measured.peak_flops:.1%} of the "
        f"{measured.peak_flops / 1e12:,.2f} that large matrix products reach here in {about['precision']}",
    )
    console.print()
    console.print(facts)
