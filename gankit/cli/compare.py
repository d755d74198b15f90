"""``gankit compare``: runs beside one another, in a table and in a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ..errors import GankitError
from .console import PluginOption, make_runtime, out
from .duration import format_duration

if TYPE_CHECKING:
    from torch import Tensor

    from ..reports.comparison import Column
    from ..reports.run_summary import RunSummary
    from ..runtime import Runtime

GAP = 2  # blanks that a table leaves around a column


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN_DIR RUN_DIR ...", help="Run directories.", show_default=False)
    ],
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many samples of each run.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Of the samples.")] = 0,
    path: Annotated[Path, typer.Option("--out", help="The PNG file to write.")] = Path("compare.png"),
    plugin: PluginOption = None,
) -> None:
    """Compare runs: how far and fast they went, their newest scores, what their recipes differ in, and their samples.

    Scores are those of gankit eval and of the callback evaluate. Only what was measured alike stands in one column.
    Beside the samples' picture there is another one with the curves of losses and scores.

    Examples:

      gankit compare results/dcgan_cifar10 results/dcgan_cifar10-2

      gankit compare results/* --count 64 --out figures/all.png
    """
    from ..reports.comparison import columns, explain, recipe_differences
    from ..reports.curves import save_curves
    from ..reports.run_summary import labels, read_run
    from ..reports.sample_grids import save_sample_grids

    facts = [read_run(run) for run in runs]
    names = labels(runs)
    samples = _samples(names, runs, count, seed, make_runtime(plugin))
    console = out()
    scored = columns([run.evaluations for run in facts])
    for table in run_tables(names, facts, scored, console.width):
        console.print(table)
    if any(column.best() for column in scored):
        console.print("* the best of its column")
    for sentence in explain(scored):
        console.print(sentence)
    if not scored:
        console.print("no run has scores yet; see: gankit eval --help")
    if differing := recipe_differences([run.recipe.model_dump(mode="json") for run in facts]):
        console.print()
        console.print(recipe_table(names, differing))
    save_sample_grids(samples, path)
    console.print(f"\n{path}: {count} samples of each run, seed {seed}")
    curves = path.with_name(f"{path.stem}_curves.png")
    if save_curves(names, facts, scored, curves):
        console.print(f"{curves}: losses and scores over the images seen")


def _samples(
    names: Sequence[str], runs: Sequence[Path], count: int, seed: int, runtime: Runtime
) -> dict[str, Tensor | str]:
    from ..runs.file_names import checkpoints

    samples: dict[str, Tensor | str] = {}
    for name, run in zip(names, runs, strict=True):
        found = checkpoints(run)
        if not found:
            samples[name] = "no checkpoint yet"
            continue
        generator = runtime.load_generator(found[-1])
        try:
            samples[f"{name}, {found[-1].name}"] = generator.sample(count, seed)
        except ValueError as error:
            raise GankitError(f"{found[-1]}: {error}") from None
    return samples


def run_tables(
    names: Sequence[str], facts: Sequence[RunSummary], scored: Sequence[Column], width: int
) -> Iterator[Table]:
    """A line for each run: one table where there is room for it, else as many as it takes to cut nothing."""
    rates = [run.images_per_second for run in facts]
    cells = {
        "steps": [f"{run.steps:,}" for run in facts],
        "images": [f"{run.images:,}" for run in facts],
        "images/s": ["-" if rate is None else f"{rate:,.0f}" for rate in rates],
        "time": [format_duration(run.seconds) for run in facts],
        "ended": [run.ending or "running or killed" for run in facts],
        "loss D": [_loss(run, "discriminator_loss") for run in facts],
        "loss G": [_loss(run, "generator_loss") for run in facts],
        **{column.title: [_score(column, index, run.steps) for index, run in enumerate(facts)] for column in scored},
    }
    widths = {title: GAP + max(map(len, (title, *column))) for title, column in cells.items()}
    first = GAP + max(map(len, ("run", *names)))
    while cells:
        room = width - first
        titles: list[str] = []
        for title in cells:
            room -= widths[title]
            if titles and room < 0:
                break
            titles.append(title)
        table = Table(box=None, header_style="bold")
        table.add_column("run", overflow="fold")
        for title in titles:
            table.add_column(title, justify="left" if title == "ended" else "right", overflow="fold")
        for name, *row in zip(names, *(cells.pop(title) for title in titles), strict=True):
            table.add_row(name, *row)
        yield table


def recipe_table(names: Sequence[str], differing: dict[str, list[Any]]) -> Table:
    """A line for each key of which the recipes' values differ."""
    table = Table(box=None, header_style="bold")
    table.add_column("recipe", overflow="fold")
    for name in names:
        table.add_column(name, overflow="fold")
    for key, values in differing.items():
        table.add_row(key, *("-" if value is None else str(value) for value in values))
    return table


def _loss(run: RunSummary, name: str) -> str:
    return f"{run.losses[name]:.4g}" if name in run.losses else "-"


def _score(column: Column, index: int, steps: int) -> str:
    """A score, with what one must know of the weights where they are not those that one would expect."""
    evaluation = column.evaluations.get(index)
    if evaluation is None:
        return "-"
    subject = evaluation.evaluated
    notes = [
        *(["EMA"] if subject.ema else []),
        *([f"step {subject.step:,}"] if subject.step is not None and subject.step != steps else []),
    ]
    mark = " *" if index in column.best() else ""
    return f"{evaluation.scores[column.score]:.5g}{mark}" + (f" ({', '.join(notes)})" if notes else "")
