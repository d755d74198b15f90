"""The page of one run."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...errors import GankitError
from ...evaluation.record import Evaluation
from ...files import open_regular, read_failure
from ...messages import format_duration, truncate
from ...runs.file_names import RECIPE, REPORT_PICTURES, checkpoints
from ...runs.json_lines import read_object
from ...runs.manifest import read_manifest
from ...runs.run_directory import read_record
from ..comparison import Column, score_columns
from ..diagnosis import Diagnosis, diagnose
from ..protocol import HASH_LENGTH, settings_of
from ..run_summary import RunSummary, parse_count, read_metrics
from .curves import Curves, score_chart
from .pictures import (
    FALLBACK_REAL,
    NEIGHBORS,
    NEIGHBORS_RECORD,
    REAL,
    SamplePicture,
    embed_samples,
    own_picture,
)
from .render import render

MAX_RECORD_BYTES = 2**16
MAX_RECIPE_BYTES = 2**18
MAX_PROBLEMS = 100
MAX_SCORES = 50
MAX_FACT = 60  # characters of a fact at the top
MAX_ROWS = 500  # of a list
MAX_VALUE = 200  # characters of a setting
MISSING = "-"

Rows = list[tuple[str, str]]
"""Names and values, as text."""


def render_run(directory: Path, ending: str | None = None) -> str:
    """The HTML page of a run, from its files.

    Args:
        directory: of the run.
        ending: why the run ends, if its files do not say so yet.

    Raises:
        GankitError: it is not a run directory, or one of its files is damaged.
    """
    diagnosis = diagnose(directory, ending)
    summary, record = diagnosis.summary, read_record(directory)
    curves = Curves(read_metrics(directory))
    all_columns = score_columns([summary.evaluations])
    columns = all_columns[:MAX_SCORES]
    scores = [(column, column.by_step(summary.evaluations)) for column in columns]
    samples = embed_samples(directory)
    problems = diagnosis.problems[:MAX_PROBLEMS]
    return render(
        "run.html",
        title=directory.resolve().name or str(directory),
        written=datetime.now(UTC).isoformat(timespec="seconds"),
        is_over=summary.ending is not None,
        diagnosis=diagnosis,
        problems=problems,
        history=diagnosis.history[-MAX_ROWS:],
        facts=_facts(diagnosis, record, curves.last),
        newest_samples=samples[-1][1] if samples else None,
        real=own_picture(directory, f"{REPORT_PICTURES}/{REAL}", FALLBACK_REAL),
        neighbors=_neighbors(directory),
        scores=[_score(column, points) for column, points in scores],
        left_out={
            "scores": len(all_columns) - len(columns),
            "scalars": curves.left_out,
            "problems": len(diagnosis.problems) - len(problems),
        },
        layers=_layers(record),
        recipe=_recipe_text(directory),
        reproduction=_reproduction(directory, record),
        commands=_commands(directory, summary),
        data={
            "samples": [{"label": _label(picture), "picture": uri} for picture, uri in samples[:-1]]
            + [{"label": _label(picture)} for picture, _ in samples[-1:]],  # the page shows it from the beginning
            "charts": [
                *(score_chart(column, points) for column, points in scores if len(points) > 1),
                *curves.charts(),
            ],
            "positions": curves.positions,
            "findings": [
                {"number": number, "first": problem.first_step, "end": problem.end_step, "kind": problem.kind}
                for number, problem in enumerate(problems, 1)
            ],
        },
    )


def _facts(diagnosis: Diagnosis, record: Mapping[str, Any], last: Mapping[str, Any]) -> Rows:
    """Name and value of the figures at the top of the page."""
    summary = diagnosis.summary
    rate, memory = summary.images_per_second, last.get("peak_memory_mib")
    processes = record.get("world_size")
    device = truncate(_text(record.get("device")), MAX_FACT)
    if isinstance(processes, int) and processes > 1:
        device += f", {processes} processes"
    return [
        ("status", truncate(summary.status, MAX_FACT)),
        ("steps", f"{summary.steps:,}"),
        ("images seen", f"{summary.images:,}"),
        ("training time", format_duration(summary.seconds)),
        ("average speed", MISSING if rate is None else f"{rate:,.1f} images/s"),
        ("peak memory", f"{memory:,} MiB" if isinstance(memory, (int, float)) else MISSING),
        ("device", device),
        ("precision", truncate(_text(record.get("precision")), MAX_FACT)),
    ]


def _label(picture: SamplePicture) -> str:
    return f"{'epoch' if picture.is_epoch else 'step'} {picture.step:,}"


def _neighbors(directory: Path) -> dict[str, Any] | None:
    """The picture of the nearest real images, and a sentence about it."""
    picture = own_picture(directory, f"{REPORT_PICTURES}/{NEIGHBORS}")
    try:
        found = read_object(directory / REPORT_PICTURES / NEIGHBORS_RECORD, MAX_RECORD_BYTES)
        step, among, samples = (parse_count(found[key]) for key in ("step", "among", "samples"))
        distance, features = float(found["distance"]), str(found["features"])
        real_distance = None if found["real_distance"] is None else float(found["real_distance"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
    if picture is None:
        return None
    compared = (
        "" if real_distance is None else f"; of a real image to the nearest other real image: {real_distance:.3g}"
    )
    return {
        "picture": picture,
        "text": (
            f"{samples} samples of step {step:,} (left column), each with its nearest real images among {among:,} "
            f"training images, by the distance of the features '{truncate(features)}'. Median distance of a sample to "
            f"the nearest real image: {distance:.3g}{compared}. A much smaller distance of samples, or pictures that "
            "look the same, mean that the generator repeats training images."
        ),
    }


def _score(column: Column, points: Mapping[int, float]) -> dict[str, Any]:
    """A row of the table of scores: the newest value, the best one, and the protocol."""
    newest = column.evaluations[0]
    step = newest.evaluated.step
    best, finite = None, {step: value for step, value in points.items() if math.isfinite(value)}
    if column.better is not None and finite:
        best_step = (max if column.better == "higher" else min)(finite, key=lambda step: finite[step])
        best = f"{finite[best_step]:.5g} (step {best_step:,})"
    return {
        "name": column.title,
        "value": f"{newest.scores[column.score]:.5g}" + ("" if step is None else f" (step {step:,})"),
        "best": best or MISSING,
        "better": column.better or MISSING,
        "protocol": settings_of(newest),
        "cautions": newest.cautions,
    }


def _layers(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The files and overrides that the recipe comes from, with the values that each changes."""
    layers = record.get("recipe")
    found = []
    for layer in layers[:MAX_ROWS] if isinstance(layers, list) else ():
        changes = layer.get("changes") if isinstance(layer, dict) else None
        rows = [
            (truncate(str(key)), *(_text(value) for value in pair))
            for key, pair in (changes.items() if isinstance(changes, dict) else ())
            if isinstance(pair, list) and len(pair) == 2
        ]
        if isinstance(layer, dict):
            found.append({"source": truncate(str(layer.get("source")), MAX_VALUE), "changes": rows[:MAX_ROWS]})
    return found


def _recipe_text(directory: Path) -> str:
    try:
        with open_regular(directory / RECIPE) as file:
            text = file.read(MAX_RECIPE_BYTES).decode("utf-8", errors="replace")
            return f"{text}\n... (shortened)" if file.read(1) else text
    except OSError as error:
        return read_failure(directory / RECIPE, error)


def _reproduction(directory: Path, record: Mapping[str, Any]) -> Rows:
    """The facts that decide the weights of the run, in addition to its recipe."""
    versions, plugins = record.get("versions"), record.get("plugins")
    rows = [("seed", _text(record.get("seed"))), ("started", _text(record.get("started_at")))]
    if isinstance(versions, dict):
        rows += [(truncate(str(name)), _text(version)) for name, version in versions.items()]
    for name, about in plugins.items() if isinstance(plugins, dict) else ():
        if isinstance(about, dict):
            sha256 = _text(about.get("sha256"))[:HASH_LENGTH]
            rows.append((f"plugin {truncate(str(name))}", f"{_text(about.get('source'))}, sha256 {sha256}"))
    rows.append(("threads", _text(record.get("threads"))))
    if isinstance(data := record.get("data"), dict):
        rows.append(("data", _text(data.get("summary"))))
    try:
        newest = checkpoints(directory)[-1]
        rows.append(("newest checkpoint", str(newest)))
        if isinstance(found := read_manifest(newest).get("data"), dict):
            rows.append(("data sha256", _text(found.get("fingerprint"))))
    except (GankitError, IndexError):  # no checkpoint, or only damaged ones
        pass
    return rows


def _commands(directory: Path, summary: RunSummary) -> list[str]:
    """The commands that repeat the run and its scores."""
    run = shlex.quote(str(directory))
    commands = [f"gankit run {shlex.quote(str(directory / RECIPE))} --out NEW_DIRECTORY"]
    protocols: dict[str, None] = {}
    for evaluation in summary.evaluations:
        words = ["gankit", "eval", "NEW_DIRECTORY", "--metrics", ",".join(evaluation.metrics)]
        if evaluation.features is not None:
            words += ["--features", evaluation.features.name]
        words += ["--samples", str(evaluation.samples), "--seed", str(evaluation.seed)]
        if not any(metric.pairs for metric in evaluation.metrics.values()):  # these take all real images
            words += ["--real-samples", str(evaluation.real.count)]
        if other := _other_dataset(evaluation, summary):
            words += ["--real", json.dumps(other)]
        if evaluation.image.height == evaluation.image.width:
            words += ["--size", str(evaluation.image.height)]
        for name, value in evaluation.options.items():
            words += ["--option", f"{name}={json.dumps(value)}"]
        parts = {name: metric.params for name, metric in evaluation.metrics.items()}
        if evaluation.features is not None:
            parts[evaluation.features.name] = evaluation.features.params
        for name, params in parts.items():
            words += [f"{name}.{key}={json.dumps(value)}" for key, value in params.items()]
        if evaluation.evaluated.ema is False:
            words.append("--no-ema")
        protocols[shlex.join(words)] = None
    return [*commands, *list(protocols)[:10], f"gankit sample {run} --out FOLDER"]


def _other_dataset(evaluation: Evaluation, summary: RunSummary) -> dict[str, Any] | None:
    """The dataset of the real images, if it is not that of the recipe."""
    try:
        real, own = evaluation.real, summary.recipe.dataset.model_dump(mode="json")
    except GankitError:  # the page says what is damaged
        return None
    same = real.dataset == own["name"] and all(own.get(name) == value for name, value in real.params.items())
    return None if same else {"name": real.dataset, **real.params}


def _text(value: Any) -> str:
    """A value of a record or recipe as short text."""
    if value is None:
        return MISSING
    return truncate(value if isinstance(value, str) else json.dumps(value, default=str), MAX_VALUE)
