"""A summary of a run, read from its directory."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import GankitError
from ..evaluation.evaluation_log import read_evaluations
from ..evaluation.record import Evaluation
from ..messages import truncate
from ..recipe.model import Recipe
from ..runs.file_names import EVALUATIONS, METRICS, RECIPE
from ..runs.json_lines import read_log
from ..runs.run_directory import MAX_METRICS_BYTES, read_record
from ..runs.run_lock import LockState, lock_state
from .loss_names import LOSSES, loss_names

MAX_TEXT_LENGTH = 2000  # characters of a message in a file
MAX_NUMBER = 2**62  # larger counts and seconds are read as 0


@dataclass(frozen=True)
class RunSummary:
    """A run according to its files.

    Attributes:
        directory: of the run.
        steps: updates of G so far.
        images: real images used for training so far.
        seconds: of training so far.
        ending: why it ended; None if it is running or was killed.
        lock: whether a process trains it.
        losses: the last logged ones, by name.
        non_finite: the first line of the log with NaN or infinity, and the names of these scalars; None without any.
        curves: by loss: the number of images and the loss at each logged step.
        evaluations: oldest first.
        positions: the logged steps, and the number of images at each.
    """

    directory: Path
    steps: int
    images: int
    seconds: float
    ending: str | None
    lock: LockState
    losses: dict[str, float]
    non_finite: tuple[Mapping[str, Any], list[str]] | None
    curves: dict[str, tuple[Sequence[float], Sequence[float]]]
    evaluations: list[Evaluation]
    positions: tuple[Sequence[float], Sequence[float]]

    @cached_property
    def recipe(self) -> Recipe:
        """With all inheritance and overrides applied. Raises: GankitError: it is damaged."""
        return Recipe.load(self.directory / RECIPE)  # takes longer than the rest, and few need it

    @property
    def status(self) -> str:
        """Its ending, or whether it is running or was killed."""
        if self.ending is not None:
            return self.ending
        return "running" if self.lock.holder else "killed" if self.lock.known else "running or killed"

    def images_at(self, steps: Iterable[int]) -> list[float]:
        """The number of images at each of these steps; between logged ones, it is interpolated."""
        logged, images = self.positions
        known_steps, known_images = [0.0, *logged, float(self.steps)], [0.0, *images, float(self.images)]
        return [float(number) for number in np.interp([*steps], known_steps, known_images)]

    @property
    def images_per_second(self) -> float | None:
        """Average over the whole run; None before the first logged step."""
        return self.images / self.seconds if self.images and self.seconds else None


def read_run(directory: Path) -> RunSummary:
    """Read a run directory. Raises: GankitError: it does not exist, or one of its files is damaged."""
    if not (directory / RECIPE).is_file():
        fault = "is not a run directory: it lacks recipe.yaml" if directory.exists() else "no such run directory"
        raise GankitError(f"{directory}: {fault}")
    record = read_record(directory)
    last: Mapping[str, Any] = {}
    # arrays, since there may be millions of lines
    curves: dict[str, tuple[array[float], array[float]]] = {}
    positions = array("d"), array("d")
    non_finite: tuple[Mapping[str, Any], list[str]] | None = None
    for last in read_metrics(directory):
        if non_finite is None and (
            names := [name for name, value in last.items() if not math.isfinite(parse_float(value))]
        ):
            non_finite = last, names
        for values, name in zip(positions, ("step", "images"), strict=True):
            values.append(parse_float(last.get(name)))
        curves = curves or {name: (array("d"), array("d")) for name in loss_names(last)}
        for name in curves:
            if name in last:
                curves[name][0].append(parse_float(last.get("images")))
                curves[name][1].append(parse_float(last[name]))
    ended = found if isinstance(found := record.get("ended"), dict) else {}
    newest = max(ended, last, key=lambda entry: parse_count(entry.get("step"))) if ended else last
    return RunSummary(
        directory=directory,
        steps=parse_count(newest.get("step")),
        images=parse_count(newest.get("images")),
        seconds=_parse_bounded(newest.get("seconds")),
        ending=truncate(str(ended["reason"]), MAX_TEXT_LENGTH) if "reason" in ended else None,
        lock=lock_state(directory),
        losses={name: parse_float(last[name]) for name in curves if name in last},
        non_finite=non_finite,
        curves=dict(curves),
        evaluations=read_evaluations(directory / EVALUATIONS),
        positions=positions,
    )


def all_loss_names(runs: Iterable[RunSummary]) -> list[str]:
    """The names of the losses of several runs, each once; those of both players if no run has logged any."""
    return list(dict.fromkeys(name for run in runs for name in run.curves)) or list(LOSSES)


def read_metrics(directory: Path) -> Iterator[dict[str, Any]]:
    """The lines of a run's ``metrics.jsonl``. Raises: GankitError: the file is damaged or too large."""
    return read_log(directory / METRICS, MAX_METRICS_BYTES)


def run_names(directories: Sequence[Path]) -> list[str]:
    """A distinct name for each run: the name of its folder, or its path if several folders have that name."""
    names = [directory.resolve().name for directory in directories]
    return [name if names.count(name) == 1 else str(path) for name, path in zip(names, directories, strict=True)]


def parse_count(value: Any) -> int:
    """A count from a log; 0 if it is missing or invalid."""
    return int(_parse_bounded(value))


def _parse_bounded(value: Any) -> float:
    number = parse_float(value)
    return number if 0 <= number < MAX_NUMBER else 0.0


def parse_float(value: Any) -> float:
    """A number from a log, which stores NaN and infinity as strings; 0 if it is missing or invalid."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
