"""What a run directory says about its run."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import GankitError
from ..evaluation.evaluation_log import read_evaluations
from ..evaluation.record import Evaluation
from ..messages import truncate
from ..recipe.model import Recipe
from ..runs.file_names import EVALUATIONS, METRICS, RECIPE
from ..runs.json_lines import read_log
from ..runs.run_directory import read_record

MAX_METRICS_BYTES = 2**30  # a line every ten steps for three weeks, twenty steps a second
LONGEST = 2000  # characters of what a file says
LARGEST = 2**62  # counts and seconds beyond are none
LOSSES = ("discriminator_loss", "generator_loss")


@dataclass(frozen=True)
class RunSummary:
    """A run as its files have it.

    Attributes:
        directory: of the run.
        recipe: resolved.
        steps: updates of G so far.
        images: real images shown to D so far.
        seconds: of training so far.
        ending: how it ended; None for one that is running or was killed.
        losses: the last logged ones, by name.
        curves: images so far and the loss there, all that is logged, by name.
        evaluations: oldest first.
    """

    directory: Path
    recipe: Recipe
    steps: int
    images: int
    seconds: float
    ending: str | None
    losses: dict[str, float]
    curves: dict[str, tuple[Sequence[float], Sequence[float]]]
    evaluations: list[Evaluation]

    @property
    def images_per_second(self) -> float | None:
        """Over the whole run; None before there is anything to tell."""
        return self.images / self.seconds if self.images and self.seconds else None


def read_run(directory: Path) -> RunSummary:
    """The run in a directory. Raises: GankitError: there is none, or one of its files is damaged."""
    if not (directory / RECIPE).is_file():
        fault = "is no run directory: it has no recipe.yaml" if directory.exists() else "no such run directory"
        raise GankitError(f"{directory}: {fault}")
    record = read_record(directory)
    last: Mapping[str, Any] = {}
    curves = {name: (array("d"), array("d")) for name in LOSSES}  # not lists: there may be millions of lines
    for last in read_metrics(directory):
        for name in LOSSES:
            if name in last:
                curves[name][0].append(_number(last.get("images")))
                curves[name][1].append(_number(last[name]))
    ended = record.get("ended")
    ended = ended if isinstance(ended, dict) else {}
    newest = max(ended, last, key=lambda where: whole(where.get("step"))) if ended else last
    return RunSummary(
        directory=directory,
        recipe=Recipe.load(directory / RECIPE),
        steps=whole(newest.get("step")),
        images=whole(newest.get("images")),
        seconds=_finite(newest.get("seconds")),
        ending=truncate(str(ended["reason"]), LONGEST) if "reason" in ended else None,
        losses={name: _number(last[name]) for name in LOSSES if name in last},
        curves={name: curve for name, curve in curves.items() if curve[0]},
        evaluations=read_evaluations(directory / EVALUATIONS),
    )


def read_metrics(directory: Path) -> Iterator[dict[str, Any]]:
    """The lines of a run's ``metrics.jsonl``. Raises: GankitError: as `read_log` does."""
    return read_log(directory / METRICS, MAX_METRICS_BYTES)


def labels(directories: list[Path]) -> list[str]:
    """What runs are called: by their folders' names, or by their paths where these are alike."""
    names = [directory.resolve().name for directory in directories]
    return [
        name if names.count(name) == 1 else str(directory) for name, directory in zip(names, directories, strict=True)
    ]


def _number(value: Any) -> float:
    """A number as a log has it, where NaN and infinities are strings; 0 where there is none."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _finite(value: Any) -> float:
    number = _number(value)
    return number if 0 <= number < LARGEST else 0.0


def whole(value: Any) -> int:
    """A count as a log has it; 0 where there is none."""
    return int(_finite(value))
