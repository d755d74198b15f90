"""``gankit bench``: measure how fast a recipe trains, and how its time is spent."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

from typer import Exit, Option

from ..distributed.torchrun import world_size
from ..errors import GankitError
from .console import (
    Overrides,
    PluginOption,
    RecipeFile,
    interruptible,
    make_runtime,
    make_table,
    output_console,
    print_message,
)
from .run import assemble

if TYPE_CHECKING:
    from ..profiling.step_profile import StepProfile
    from ..training.trainer import Trainer


def bench(
    recipe: RecipeFile,
    overrides: Overrides = None,
    device: Annotated[str | None, Option(metavar="cpu|cuda", help="Device that replaces the recipe's.")] = None,
    steps: Annotated[int, Option(min=1, help="Number of steps to measure, after 10 warm-up steps.")] = 100,
    plugin: PluginOption = None,
) -> None:
    """Benchmark a recipe: images per second, time of each part of a step, memory and device utilization.

    The run is in a temporary folder, which is deleted afterwards. The measured steps include their callbacks.

    Examples:

      gankit bench recipes/dcgan_cifar10.yaml

      gankit bench recipes/quickstart.yaml train.precision=fp32 --device cpu --steps 20
    """
    if world_size() > 1:
        raise GankitError("gankit bench measures a single process; start it without torchrun")
    runtime = make_runtime(plugin)
    # neither segments nor a time limit are to end the measurement
    own = ["segments=[]", "train.max_hours=null", *([f"train.device={device}"] if device else ())]
    checked = runtime.load_checked(recipe, [*(overrides or ()), *own])
    temporary = TemporaryDirectory(prefix="gankit-bench-", ignore_cleanup_errors=True)
    with interruptible(" before the measurement was complete"), temporary as folder:
        trainer = assemble(runtime, checked, Path(folder) / "run")
        output_console().print(f"measuring {steps:,} steps of {checked.recipe.name} ...")
        profile = _measure(trainer, steps)
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
        raise Exit(1) from None


def _print_profile(trainer: Trainer, profile: StepProfile) -> None:
    from ..training.callbacks import CALLBACKS
    from ..training.step import OTHER

    about, images, precision = trainer.setup.about, profile.images, trainer.setup.about["precision"]
    batch = trainer.recipe.loader.batch_size
    device = f"{about['device']} ({about['threads']} threads)" if about["device"] == "cpu" else about["device"]
    console = output_console()
    console.print(f"\n{trainer.recipe.name} on {device} in {precision}, batch size {batch}\n")

    seconds: dict[str, float] = {}  # of each row
    for part, spent in profile.parts.items():
        if spent or part == OTHER:
            seconds[part] = spent
        if part == CALLBACKS:
            slowest_first = sorted(profile.callbacks.items(), key=lambda item: -item[1])
            seconds |= {f"  {name}": own for name, own in slowest_first}
    total = seconds["total"] = sum(profile.parts.values())
    rows = [(name, f"{1000 * own / profile.steps:,.2f}", f"{own / total:.1%}") for name, own in seconds.items()]
    console.print(make_table(rows, ("part of a step", "ms", "share"), right=("ms", "share")))

    achieved = profile.flops / profile.seconds
    memory = "allocated on the device" if about["device"].startswith("cuda") else "by this process"
    speed = f"{images / profile.seconds:,.1f} images/s ({1000 * profile.seconds / profile.steps:,.2f} ms per step)"
    totals = [
        ("speed", speed),
        ("peak memory", f"{profile.peak_bytes / 2**20:,.0f} MiB {memory}"),
        ("computed", f"{profile.flops / images / 1e9:,.3f} GFLOP per image"),
        (
            "achieved",
            f"{achieved / 1e12:,.3f} TFLOP/s, {achieved / profile.peak_flops:.1%} of the "
            f"{profile.peak_flops / 1e12:,.2f} that large matrix products reach on this device in {precision}",
        ),
    ]
    if written := {name: spent for name, spent in profile.checkpoint.items() if spent >= 0.5e-3}:
        slowest = sorted(written.items(), key=lambda item: -item[1])
        listed = ", ".join(f"{name} {1000 * spent:,.0f} ms" for name, spent in slowest)
        totals.append(("one checkpoint", f"{1000 * sum(written.values()):,.0f} ms ({listed})"))
    console.print()
    console.print(make_table(totals))
