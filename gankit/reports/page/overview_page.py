"""The page of all runs in a folder."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from ...errors import GankitError
from ...files import read_failure
from ...messages import format_duration, truncate
from ...runs.file_names import RECIPE, REPORT
from ...runs.run_directory import read_record
from ..comparison import Column, explain_columns, recipe_settings, score_columns
from ..diagnosis import Diagnosis, diagnose
from ..run_summary import read_metrics
from .curves import Curves
from .pictures import data_uri, pictures_over_time
from .render import render

MAX_DEPTH = 3  # of folders in folders
MAX_POINTS = 60  # of a curve
THUMBNAIL_SIDE = 160  # pixels
MAX_VALUE = 60  # characters of a setting
MISSING = "-"


class Cell(NamedTuple):
    """A cell of the table: its heading, its text, and the number or text that it is sorted by; None sorts last."""

    heading: str
    text: str
    value: float | str | None


class RunRow(NamedTuple):
    """A run in the table.

    Attributes:
        name: path in the folder.
        link: to its report; None if it has none.
        thumbnail: of its newest samples.
        diagnosis: of the run.
        settings: its recipe.
        started: date and time.
        chart: its losses.
    """

    name: str
    link: str | None
    thumbnail: str | None
    diagnosis: Diagnosis
    settings: dict[str, Any]
    started: str
    chart: dict[str, Any]


def find_runs(folder: Path, depth: int = MAX_DEPTH) -> Iterator[Path]:
    """The run directories in a folder and its folders, sorted by name. Folders in run directories are not searched.

    Folders that cannot be read are left out.

    Raises:
        GankitError: the folder itself cannot be read.
    """
    try:
        inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise GankitError(read_failure(folder, error)) from None
    for path in inside:
        with suppress(PermissionError, GankitError):
            if (path / RECIPE).is_file():
                yield path
            elif depth > 1 and path.is_dir() and not path.is_symlink():
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
    columns = score_columns([row.diagnosis.summary.evaluations for row in rows])
    settings = recipe_settings([row.settings for row in rows])
    cells = [_cells(row, columns, index) for index, row in enumerate(rows)]
    headings = [cell.heading for cell in cells[0]] if cells else []
    return render(
        template,
        title=folder.resolve().name or str(folder),
        written=datetime.now(UTC).isoformat(timespec="seconds"),
        rows=list(zip(rows, cells, strict=True)),
        headings=headings,
        explanations=explain_columns(columns),
        damaged=damaged,
        data={
            "headings": headings,
            "runs": [
                {"name": row.name, "chart": row.chart, "values": [cell.value for cell in found]}
                for row, found in zip(rows, cells, strict=True)
            ],
            "settings": {key: [_text(value) for value in row] for key, row in settings.items() if _differ(row)},
            "common": {key: _text(row[0]) for key, row in settings.items() if not _differ(row)},
        },
        **content,
    )


def _differ(values: Sequence[Any]) -> bool:
    return any(value != values[0] for value in values)


def _read(folder: Path, directory: Path) -> RunRow:
    """Raises: GankitError: a file of the run is damaged."""
    diagnosis = diagnose(directory)
    pictures = pictures_over_time(directory)
    name = os.path.relpath(directory, folder)
    return RunRow(
        name=name,
        link=quote(os.fsencode(Path(name, REPORT).as_posix())) if (directory / REPORT).is_file() else None,
        thumbnail=data_uri(pictures[-1].path, THUMBNAIL_SIDE) if pictures else None,
        diagnosis=diagnosis,
        settings=diagnosis.summary.recipe.model_dump(mode="json"),
        started=truncate(str(read_record(directory).get("started_at", ""))),
        chart=Curves(read_metrics(directory), MAX_POINTS).losses(),
    )


def _cells(row: RunRow, columns: Sequence[Column], index: int) -> list[Cell]:
    """The cells of a run; the same headings for each run."""
    summary = row.diagnosis.summary
    lasting = [problem.kind.replace("_", " ") for problem in row.diagnosis.problems if problem.end_step is None]
    rate = summary.images_per_second
    return [
        Cell("status", truncate(summary.status, MAX_VALUE), summary.status),
        Cell("steps", f"{summary.steps:,}", summary.steps),
        Cell("images", f"{summary.images:,}", summary.images),
        Cell("time", format_duration(summary.seconds), summary.seconds),
        Cell("images/s", MISSING if rate is None else f"{rate:,.1f}", rate),
        Cell("problems", truncate(", ".join(lasting), MAX_VALUE) or MISSING, len(lasting)),
        *(_score(column, index) for column in columns),
        Cell("started", row.started.replace("T", " ")[:16], row.started),
    ]


def _score(column: Column, index: int) -> Cell:
    found = column.evaluations.get(index)
    value = None if found is None else found.scores[column.score]
    text = MISSING if value is None else f"{value:.5g}"
    return Cell(column.title, text, value if value is not None and math.isfinite(value) else None)


def _text(value: Any) -> str | None:
    return None if value is None else truncate(str(value), MAX_VALUE)
