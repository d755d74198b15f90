"""What a run directory says about its run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import GankitError
from ..recipe import Recipe
from ..training.directory import RECIPE, read_record
from ..yaml_text import cut
from .log import EVALUATIONS, read_evaluations, read_log
from .record import Evaluation

METRICS = "metrics.jsonl"
LONGEST = 2000  # characters of what a file says
LARGEST = 2**62  # counts and seconds beyond are none
LOSSES = ("discriminator_loss", "generator_loss")


@dataclass(frozen=True)
class RunFacts:
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
    curves: dict[str, tuple[list[float], list[float]]]
    evaluations: list[Evaluation]

    @property
    def images_per_second(self) -> float | None:
        """Over the whole run; None before there is anything to tell."""
        return self.images / self.seconds if self.images and self.seconds else None


def read_run(directory: Path) -> RunFacts:
    """The run in a directory. Raises: GankitError: there is none, or one of its files is damaged."""
    if not (directory / RECIPE).is_file():
        fault = "is no run directory: it has no recipe.yaml" if directory.exists() else "no such run directory"
        raise GankitError(f"{directory}: {fault}")
    record = read_record(directory)
    logged = read_log(directory / METRICS)
    last = logged[-1] if logged else {}
    ended = record.get("ended")
    ended = ended if isinstance(ended, dict) else {}
    newest = max(ended, last, key=lambda where: whole(where.get("step"))) if ended else last
    return RunFacts(
        directory=directory,
        recipe=Recipe.load(directory / RECIPE),
        steps=whole(newest.get("step")),
        images=whole(newest.get("images")),
        seconds=_finite(newest.get("seconds")),
        ending=cut(str(ended["reason"]), LONGEST) if "reason" in ended else None,
        losses={name: _number(last[name]) for name in LOSSES if name in last},
        curves={name: curve for name in LOSSES if (curve := _curve(logged, name))[0]},
        evaluations=read_evaluations(directory / EVALUATIONS),
    )


def labels(directories: list[Path]) -> list[str]:
    """What runs are called: by their folders' names, or by their paths where these are alike."""
    names = [directory.resolve().name for directory in directories]
    return [
        name if names.count(name) == 1 else str(directory) for name, directory in zip(names, directories, strict=True)
    ]


def _curve(logged: Iterable[Mapping[str, Any]], name: str) -> tuple[list[float], list[float]]:
    lines = [line for line in logged if name in line]
    return [_number(line.get("images")) for line in lines], [_number(line[name]) for line in lines]


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
