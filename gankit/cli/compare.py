"""``gankit compare``: compare runs in tables and figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from ..errors import GankitError
from ..messages import format_duration
from .console import PluginOption, make_runtime, make_table, output_console, parse_path

if TYPE_CHECKING:
    from rich.table import Table
    from torch import Tensor

    from ..reports.comparison import Column
    from ..reports.run_summary import RunSummary
    from ..runtime import Runtime

COLUMN_PADDING = 2  # spaces around a column of a table


def compare(
    runs: Annotated[list[Path], Argument(metavar="RUN_DIR RUN_DIR ...", parser=parse_path, help="Run directories.")],
    count: Annotated[int, Option(min=1, max=1000, help="Number of samples of each run.")] = 16,
    seed: Annotated[int, Option(min=0, help="Random seed of the samples.")] = 0,
    path: Annotated[
        Path, Option("--out", metavar="FILE", parser=parse_path, help="The image file to write, such as a PNG or JPEG.")
    ] = Path("compare.png"),
    plugin: PluginOption = None,
) -> None:
    """Compare runs: their steps, speed and newest scores, the differences between their recipes, and their samples.

    Scores come from gankit eval and from the callback evaluate. Each column contains only comparable scores. A second
    figure, next to that of the samples, shows the curves of losses and scores.

    Examples:

      gankit compare results/dcgan_cifar10 results/dcgan_cifar10-2

      gankit compare results/* --count 64 --out figures/all.png
    """
    from ..reports.comparison import explain_columns, recipe_differences, score_columns
    from ..reports.import_matplotlib import import_matplotlib

    import_matplotlib()
    from ..reports.curves import save_curves
    from ..reports.run_summary import read_run, run_names
    from ..reports.sample_grids import save_sample_grids
    from ..sampling.image_grid import require_image_format

    require_image_format(path)
    runs = [*{run.resolve(): run for run in runs}.values()]  # each once
    summaries = [read_run(run) for run in runs]
    names = run_names(runs)
    samples = _samples(names, runs, count, seed, make_runtime(plugin))
    console = output_console()
    columns = score_columns([run.evaluations for run in summaries])
    for table in run_tables(names, summaries, columns, console.width):
        console.print(table)
    if any(column.best() for column in columns):
        console.print("* best score of its column")
    for sentence in explain_columns(columns):
        console.print(sentence)
    if not columns:
        console.print("no run has scores yet; see gankit eval --help")
    if differing := recipe_differences([run.recipe.model_dump(mode="json") for run in summaries]):
        rows = [(key, *("-" if value is None else str(value) for value in values)) for key, values in differing.items()]
        console.print()
        console.print(make_table(rows, ("recipe", *names)))
    save_sample_grids(samples, path)
    console.print(f"\n{path}: {count} samples of each run, seed {seed}")
    curves = path.with_name(f"{path.stem}_curves{path.suffix}")
    if save_curves(names, summaries, columns, curves):
        console.print(f"{curves}: losses and scores against images seen")


def _samples(
    names: Sequence[str], runs: Sequence[Path], count: int, seed: int, runtime: Runtime
) -> dict[str, Tensor | str]:
    from ..runs.file_names import checkpoints

    samples: dict[str, Tensor | str] = {}
    for name, run in zip(names, runs, strict=True):
        if not (found := checkpoints(run)):
            samples[name] = "no checkpoint yet"
            continue
        generator = runtime.load_generator(found[-1])
        try:
            samples[f"{name}, {found[-1].name}"] = generator.sample(count, seed)
        except ValueError as error:
            raise GankitError(f"{found[-1]}: {error}") from None
    return samples


def run_tables(
    names: Sequence[str], runs: Sequence[RunSummary], columns: Sequence[Column], width: int
) -> Iterator[Table]:
    """Tables with one row for each run: as many as needed for all columns to fit ``width``.

    Args:
        names: of the runs.
        runs: their summaries.
        columns: their scores.
        width: of the terminal, in characters.
    """
    from ..reports.loss_names import loss_title
    from ..reports.run_summary import all_loss_names

    cells = {
        "steps": [f"{run.steps:,}" for run in runs],
        "images": [f"{run.images:,}" for run in runs],
        "images/s": ["-" if (rate := run.images_per_second) is None else f"{rate:,.0f}" for run in runs],
        "time": [format_duration(run.seconds) for run in runs],
        "ended": [run.status for run in runs],
        **{loss_title(name): [_loss(run, name) for run in runs] for name in all_loss_names(runs)},
        **{column.title: [_score(column, index, run.steps) for index, run in enumerate(runs)] for column in columns},
    }
    widths = {title: COLUMN_PADDING + max(map(len, (title, *texts))) for title, texts in cells.items()}
    room = width - COLUMN_PADDING - max(map(len, ("run", *names)))
    while cells:
        fitting = sum(used <= room for used in accumulate(widths[title] for title in cells))
        titles = list(cells)[: max(fitting, 1)]
        rows = zip(names, *(cells.pop(title) for title in titles), strict=True)
        yield make_table(rows, ("run", *titles), right=set(titles) - {"ended"})


def _loss(run: RunSummary, name: str) -> str:
    return f"{run.losses[name]:.4g}" if name in run.losses else "-"


def _score(column: Column, index: int, steps: int) -> str:
    """A score, marked if it is the best or does not come from the run's last step without EMA."""
    evaluation = column.evaluations.get(index)
    if evaluation is None:
        return "-"
    source = evaluation.evaluated
    notes = ["EMA"] if source.ema else []
    if source.step is not None and source.step != steps:
        notes.append(f"step {source.step:,}")
    mark = " *" if index in column.best() else ""
    return f"{evaluation.scores[column.score]:.5g}{mark}" + (f" ({', '.join(notes)})" if notes else "")
