"""The page of all runs in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from ...errors import GankitError
from ...messages import format_duration, truncate
from ...runs.file_names import RECIPE, REPORT
from ...runs.run_directory import read_record
from ..comparison import Column, explain_columns, recipe_differences, score_columns
from ..diagnosis import Diagnosis, diagnose
from ..run_summary import read_metrics
from .curves import Curves
from .pictures import data_uri, pictures_over_time
from .render import render

MAX_DEPTH = 3  # of folders in folders
MAX_POINTS = 60  # of a curve
THUMBNAIL_SIDE = 160  # pixels
MAX_VALUE = 60  # characters of a setting


class Cell(NamedTuple):
    """A cell of the table: its text, and the number or text that it is sorted by; None sorts last."""

    text: str
    value: float | str | None


class RunRow(NamedTuple):
    """A run in the table.

    Attributes:
        name: path in the folder.
        link: to its report; None if it has none.
        thumbnail: of its newest samples.
        diagnosis: of the run.
        started: date and time.
        chart: its losses.
    """

    name: str
    link: str | None
    thumbnail: str | None
    diagnosis: Diagnosis
    started: str
    chart: dict[str, Any]


def find_runs(folder: Path, depth: int = MAX_DEPTH) -> Iterator[Path]:
    """The run directories in a folder and its folders, sorted by name. Folders in run directories are not searched.

    Raises:
        GankitError: the folder cannot be read.
    """
    try:
        inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise GankitError(f"{folder}: cannot be read: {error.strerror or error}") from None
    for path in inside:
        if (path / RECIPE).is_file():
            yield path
        elif depth > 1 and not path.is_symlink():
            yield from find_runs(path, depth - 1)


def render_overview(folder: Path, directories: Sequence[Path], template: str = "overview.html", **content: Any) -> str:
    """The HTML page of runs.

    Args:
        folder: that the page is written to; links are relative to it.
        directories: of the runs. One that cannot be read is listed with the reason.
        template: this page, or one that extends it.
        content: further content for that template.
    """
    rows: list[RunRow] = []
    damaged: list[str] = []
    for directory in directories:
        try:
            rows.append(_read(folder, directory))
        except GankitError as error:
            damaged.append(str(error))
    summaries = [row.diagnosis.summary for row in rows]
    columns = score_columns([summary.evaluations for summary in summaries])
    settings = recipe_differences([summary.recipe.model_dump(mode="json") for summary in summaries]) if rows else {}
    cells = [_cells(row, columns, index) for index, row in enumerate(rows)]
    return render(
        template,
        title=folder.resolve().name,
        written=datetime.now(UTC).isoformat(timespec="seconds"),
        rows=[(row, list(found.values())) for row, found in zip(rows, cells, strict=True)],
        headings=list(cells[0]) if cells else [],
        explanations=explain_columns(columns),
        damaged=damaged,
        data={
            "runs": [
                {"name": row.name, "chart": row.chart, "facts": {name: cell.value for name, cell in found.items()}}
                for row, found in zip(rows, cells, strict=True)
            ],
            "settings": {key: [_text(value) for value in values] for key, values in settings.items()},
        },
        **content,
    )


def _read(folder: Path, directory: Path) -> RunRow:
    pictures = pictures_over_time(directory)
    name = os.path.relpath(directory, folder)
    return RunRow(
        name=name,
        link=quote(f"{Path(name).as_posix()}/{REPORT}") if (directory / REPORT).is_file() else None,
        thumbnail=data_uri(pictures[-1].path, THUMBNAIL_SIDE) if pictures else None,
        diagnosis=diagnose(directory),
        started=truncate(str(read_record(directory).get("started_at", ""))),
        chart=Curves(read_metrics(directory), MAX_POINTS).losses(),
    )


def _cells(row: RunRow, columns: Sequence[Column], index: int) -> dict[str, Cell]:
    """The cells of a run by heading."""
    summary, lasting = (
        row.diagnosis.summary,
        [problem for problem in row.diagnosis.problems if problem.end_step is None],
    )
    rate = summary.images_per_second
    cells = {
        "status": Cell(truncate(summary.status, MAX_VALUE), summary.status),
        "steps": Cell(f"{summary.steps:,}", summary.steps),
        "images": Cell(f"{summary.images:,}", summary.images),
        "time": Cell(format_duration(summary.seconds), summary.seconds),
        "images/s": Cell("-" if rate is None else f"{rate:,.1f}", rate),
        "problems": Cell(", ".join(problem.kind.replace("_", " ") for problem in lasting) or "-", len(lasting)),
    }
    for column in columns:
        found = column.evaluations.get(index)
        value = None if found is None else found.scores[column.score]
        cells[column.title] = Cell("-" if value is None else f"{value:.5g}", value)
    return {**cells, "started": Cell(row.started.replace("T", " ")[:16], row.started)}


def _text(value: Any) -> str | None:
    return None if value is None else truncate(str(value), MAX_VALUE)
