"""``gankit eval``: score generated images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from ..errors import GankitError
from .console import PluginOption, make_runtime, output_console, print_message

if TYPE_CHECKING:
    from ..evaluation.record import Evaluation
    from ..evaluation.request import Request
    from ..runtime import Runtime

HASH_LENGTH = 12


def evaluate(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN_DIR|CHECKPOINT|FOLDER_OF_IMAGES",
            help="A run (its newest checkpoint), a checkpoint, or a folder of image files.",
            show_default=False,
        ),
    ],
    params: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="Parameters of metrics and features, such as kid.subset_size=500.",
            show_default=False,
        ),
    ] = None,
    metrics: Annotated[str, typer.Option(metavar="NAME,...", help="Metrics; gankit list metrics lists them.")] = "fd",
    features: Annotated[
        str, typer.Option(metavar="NAME", help="Feature extractor; gankit list features lists them.")
    ] = "effnet_lite0",
    samples: Annotated[int, typer.Option(min=1, help="Number of generated images.")] = 10_000,
    real_samples: Annotated[
        int | None,
        typer.Option(min=1, help="Number of real images (default: that of --samples).", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the generated images.")] = 0,
    real: Annotated[
        str | None,
        typer.Option(
            metavar="DATASET",
            help="Dataset of the real images, such as '{name: cifar10, split: test}' (default: the run's).",
            show_default=False,
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(metavar="RECIPE", help="Use the dataset of this recipe as real images.", show_default=False),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(min=1, max=16_384, help="Resize all images to SIZE x SIZE pixels first.", show_default=False),
    ] = None,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Device to compute on.")] = "auto",
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            metavar="OPTION=VALUE",
            help="A sampling option of the generator, such as truncation=0.7. Repeatable.",
            show_default=False,
        ),
    ] = None,
    no_ema: Annotated[
        bool, typer.Option("--no-ema", help="Evaluate the weights of G instead of their average.")
    ] = False,
    path: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Append the record to this file (default: evaluations.jsonl of the run).",
            show_default=False,
        ),
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Score generated images against real ones, and record the scores with all settings.

    gankit compare shows which scores are comparable. Features of real images are cached in the data directory.

    Examples:

      gankit eval results/dcgan_cifar10 --metrics fd,kid,prdc --features effnet_lite0 --samples 10000

      gankit eval results/dcgan_cifar10/checkpoints/step-00001000 --samples 2000 kid.subset_size=500

      gankit eval generated_images --real '{name: cifar10, split: test}' --size 32 --out scores.jsonl
    """
    from ..evaluation.evaluation_log import append_evaluation
    from ..evaluation.generated_images import run_of
    from ..evaluation.request import Request
    from ..recipe.overrides import read_options
    from ..runs.file_names import EVALUATIONS

    request = Request(
        metrics=[name.strip() for name in metrics.split(",") if name.strip()],
        features=features,
        params=params or (),
        samples=samples,
        real_samples=real_samples,
        seed=seed,
        real=real,
        recipe=recipe,
        size=size,
        device=device,
        ema=not no_ema,
        options=read_options(options or ()),
    )
    evaluation = _evaluate(source, request, make_runtime(plugin))
    console = output_console()
    console.print(score_table(evaluation))
    console.print()
    console.print(settings_table(evaluation))
    run = run_of(source)
    file = path or (None if run is None else run / EVALUATIONS)
    if file is not None:
        try:
            append_evaluation(file, evaluation)
        except GankitError as error:
            print_message(str(error))
            raise typer.Exit(1) from None
        console.print(f"\nwritten to {file}")


def _evaluate(source: Path, request: Request, runtime: Runtime) -> Evaluation:
    from ..evaluation.evaluate import evaluate

    console = output_console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks = {}

        def report(task: str, done: int, total: int) -> None:
            if task not in tasks:
                if not console.is_terminal:
                    console.print(f"{task}: {total:,} ...")
                tasks[task] = bars.add_task(task, total=total)
            bars.update(tasks[task], completed=done)

        try:
            return evaluate(source, request, runtime, report)
        except KeyboardInterrupt:
            print_message("interrupted; no scores were written")
            raise typer.Exit(130) from None


def score_table(evaluation: Evaluation) -> Table:
    """A table with one row for each score."""
    table = Table(box=None, header_style="bold")
    table.add_column("score", overflow="fold")
    table.add_column("value", justify="right", no_wrap=True)
    for name, value in evaluation.scores.items():
        table.add_row(name, f"{value:.6g}")
    return table


def settings_table(evaluation: Evaluation) -> Table:
    """A table of the images and settings that the scores come from."""
    source, real, image = evaluation.evaluated, evaluation.real, evaluation.image
    table = Table(box=None, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    evaluated = source.path if source.kind != "run" else f"{source.path}, {source.checkpoint}"
    if source.ema is not None:
        evaluated += ", averaged weights (EMA)" if source.ema else ", weights without EMA"
    table.add_row("evaluated", evaluated)
    options = "".join(f", {name}={value}" for name, value in evaluation.options.items())
    table.add_row("generated", f"{evaluation.samples:,} images, seed {evaluation.seed}{options}")
    split = f", split {real.split}" if real.split else ""
    table.add_row("real", f"{real.count:,} images of {real.dataset}{split} (sha256 {real.fingerprint[:HASH_LENGTH]})")
    table.add_row(
        "size", f"{image.height} x {image.width}, {image.channels} channel{'s' if image.channels > 1 else ''}"
    )
    features = evaluation.features
    table.add_row("features", f"{features.name} (sha256 {features.hash[:HASH_LENGTH]}); {features.resizer}")
    table.add_row("computed", f"in {evaluation.precision} on {evaluation.device}")
    return table
