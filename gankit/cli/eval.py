"""``gankit eval``: score generated images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option

from ..errors import GankitError
from ..sources import parse_source
from .console import (
    DeviceOption,
    PluginOption,
    interruptible,
    make_runtime,
    make_table,
    output_console,
    parse_path,
    parse_run_or_checkpoint,
    print_message,
)
from .task_progress import TaskProgress

if TYPE_CHECKING:
    from ..evaluation.record import Evaluation
    from ..evaluation.request import Request
    from ..runtime import Runtime


def evaluate(
    source: Annotated[
        Path,
        Argument(
            metavar="RUN_DIR|CHECKPOINT|FOLDER_OF_IMAGES",
            parser=parse_run_or_checkpoint,
            help="A run (its newest checkpoint), a checkpoint, hub:owner/name, builtin:NAME, or a folder of images.",
        ),
    ],
    params: Annotated[
        list[str] | None,
        Argument(metavar="KEY=VALUE", help="Parameters of metrics and features, such as kid.subset_size=500."),
    ] = None,
    metrics: Annotated[str, Option(metavar="NAME,...", help="Metrics; gankit list metrics lists them.")] = "fd",
    features: Annotated[
        str, Option(metavar="NAME", help="Feature extractor; gankit list features lists them.")
    ] = "effnet_lite0",
    samples: Annotated[
        int | None,
        Option(
            min=1,
            help="Number of generated images (default: as many as there are real ones, at most 10,000; for metrics of "
            "pairs, all real ones).",
        ),
    ] = None,
    real_samples: Annotated[
        int | None, Option(min=1, help="Number of real images (default: that of --samples).")
    ] = None,
    seed: Annotated[int, Option(min=0, help="Random seed of the generated images.")] = 0,
    real: Annotated[
        str | None,
        Option(
            metavar="DATASET",
            help="Dataset of the real images, such as '{name: cifar10, split: test}' (default: the run's; for metrics "
            "of pairs, its held-out items).",
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        Option(metavar="RECIPE", parser=parse_path, help="Use the dataset of this recipe as real images."),
    ] = None,
    size: Annotated[
        int | None, Option(min=1, max=16_384, help="Resize all images to SIZE x SIZE pixels first.")
    ] = None,
    device: DeviceOption = "auto",
    options: Annotated[
        list[str] | None,
        Option(
            "--option",
            metavar="OPTION=VALUE",
            help="A sampling option of the generator, such as truncation=0.7. Repeatable.",
        ),
    ] = None,
    no_ema: Annotated[bool, Option("--no-ema", help="Evaluate the weights of G instead of their average.")] = False,
    path: Annotated[
        Path | None,
        Option(
            "--out",
            metavar="FILE",
            parser=parse_path,
            help="Append the record to this file (default: evaluations.jsonl of the run directory, if there is one).",
        ),
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Score generated images against real ones, and record the scores with all settings.

    gankit compare shows which scores are comparable. Features of real images are cached in the data directory.

    Examples:

      gankit eval results/dcgan_cifar10 --metrics fd,kid,prdc --features effnet_lite0 --samples 10000

      gankit eval results/dcgan_cifar10/checkpoints/step-00001000 --samples 2000 kid.subset_size=500

      gankit eval results/colorize --metrics psnr,ssim --real '{name: gray, path: photos}' --plugin my_pairs.py

      gankit eval generated_images --real '{name: cifar10, split: test}' --size 32 --out scores.jsonl
    """
    from ..evaluation.evaluation_log import append_evaluation, require_log
    from ..evaluation.generated_images import locate
    from ..evaluation.request import Request
    from ..recipe.overrides import read_options
    from ..reports.protocol import settings_of
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
    is_path = isinstance(parse_source(source), Path)  # no file of a cache or of this package is changed
    run = locate(source)[1] if is_path else None
    file = path or (run and run / EVALUATIONS)
    if file:
        require_log(file)
    evaluation = _evaluate(source, request, make_runtime(plugin))
    console = output_console()
    scores = [(name, f"{value:.6g}") for name, value in evaluation.scores.items()]
    console.print(make_table(scores, ("score", "value"), right=("value",), no_wrap=("value",)))
    console.print()
    console.print(make_table(settings_of(evaluation)))
    if evaluation.details:
        console.print()
    for line in evaluation.details:
        console.print(line)
    for caution in evaluation.cautions:
        print_message(caution, "caution")
    if file:
        try:
            append_evaluation(file, evaluation)
        except GankitError as error:
            print_message(str(error))
            raise Exit(1) from None
        console.print(f"\nwritten to {file}")


def _evaluate(source: Path, request: Request, runtime: Runtime) -> Evaluation:
    from ..evaluation.evaluate_source import evaluate

    with interruptible("; no scores were written"), TaskProgress(quiet_seconds=0.0) as progress:
        return evaluate(source, request, runtime, progress.report)
