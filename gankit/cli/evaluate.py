"""``gankit eval``: scores of generated images, with all that one must know to trust them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from ..errors import GankitError
from .console import PluginOption, complain, make_runtime, out

if TYPE_CHECKING:
    from ..evaluation.record import Evaluation
    from ..evaluation.request import Request
    from ..runtime import Runtime

LONGEST_HASH = 12


def evaluate(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN_DIR|CHECKPOINT|FOLDER_OF_IMAGES",
            help="What to evaluate: a run's newest checkpoint, one checkpoint, or image files.",
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
    metrics: Annotated[str, typer.Option(metavar="NAME,...", help="Metrics, as in gankit list metrics.")] = "fd",
    features: Annotated[
        str, typer.Option(metavar="NAME", help="The feature extractor, as in gankit list features.")
    ] = "effnet_lite0",
    samples: Annotated[int, typer.Option(min=1, help="Generated images.")] = 10_000,
    real_samples: Annotated[
        int | None,
        typer.Option(min=1, help="Real images; as many as there are generated ones if not given.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same images and scores for the same seed.")] = 0,
    real: Annotated[
        str | None,
        typer.Option(
            metavar="DATASET",
            help="The real images' data set, such as '{name: cifar10, split: test}'; the run's own if not given.",
            show_default=False,
        ),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(metavar="RECIPE", help="A recipe whose data set it is.", show_default=False)
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(min=1, max=16_384, help="Bring all images to this many pixels a side first.", show_default=False),
    ] = None,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where to compute.")] = "auto",
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
        bool, typer.Option("--no-ema", help="Evaluate G itself where there is an average of it.")
    ] = False,
    path: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Append the record to this file, instead of the run's evaluations.jsonl.",
            show_default=False,
        ),
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Score generated images against real ones, and write down how.

    Scores of one column of gankit compare were measured alike. Features of real images are kept in the data directory.

    Examples:

      gankit eval results/dcgan_cifar10 --metrics fd,kid,prdc --features effnet_lite0 --samples 10000

      gankit eval results/dcgan_cifar10/checkpoints/step-00001000 --samples 2000 kid.subset_size=500

      gankit eval pictures --real '{name: cifar10, split: test}' --size 32 --out scores.jsonl
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
    evaluation = _evaluated(source, request, make_runtime(plugin))
    console = out()
    console.print(score_table(evaluation))
    console.print()
    console.print(fact_table(evaluation))
    run = run_of(source)
    file = path or (None if run is None else run / EVALUATIONS)
    if file is not None:
        try:
            append_evaluation(file, evaluation)
        except GankitError as error:
            complain(str(error))
            raise typer.Exit(1) from None
        console.print(f"\nwritten to {file}")


def _evaluated(source: Path, request: Request, runtime: Runtime) -> Evaluation:
    from ..evaluation.evaluate import evaluate

    console = out()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars, warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: complain(str(message), "warning")
        tasks = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                if not console.is_terminal:
                    console.print(f"{what}: {total:,} ...")
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)

        try:
            return evaluate(source, request, runtime, report)
        except KeyboardInterrupt:
            complain("interrupted before all was scored; nothing was written")
            raise typer.Exit(130) from None


def score_table(evaluation: Evaluation) -> Table:
    """A line for each score."""
    table = Table(box=None, header_style="bold")
    table.add_column("score", overflow="fold")
    table.add_column("value", justify="right", no_wrap=True)
    for name, value in evaluation.scores.items():
        table.add_row(name, f"{value:.6g}")
    return table


def fact_table(evaluation: Evaluation) -> Table:
    """How the scores came about."""
    subject, real, image = evaluation.evaluated, evaluation.real, evaluation.image
    table = Table(box=None, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    what = subject.path if subject.kind != "run" else f"{subject.path}, {subject.checkpoint}"
    if subject.ema is not None:
        what += ", averaged weights (EMA)" if subject.ema else ", weights of G itself"
    table.add_row("evaluated", what)
    options = "".join(f", {name}={value}" for name, value in evaluation.options.items())
    table.add_row("generated", f"{evaluation.samples:,} images, seed {evaluation.seed}{options}")
    split = f", split {real.split}" if real.split else ""
    table.add_row("real", f"{real.count:,} images of {real.dataset}{split} (sha256 {real.fingerprint[:LONGEST_HASH]})")
    table.add_row(
        "size", f"{image.height} x {image.width}, {image.channels} channel{'s' if image.channels > 1 else ''}"
    )
    features = evaluation.features
    table.add_row("features", f"{features.name} (sha256 {features.hash[:LONGEST_HASH]}); {features.resizer}")
    table.add_row("computed", f"in {evaluation.precision} on {evaluation.device}")
    return table
