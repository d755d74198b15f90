"""The results of the trials of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from .file_names import trial_directory
from .objective import Objective
from .study import ERROR, OVERRIDES, is_counted

STATES: Mapping[TrialState, Literal["complete", "pruned", "failed"]] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


@dataclass(frozen=True)
class TrialOutcome:
    """A trial that has ended.

    Attributes:
        number: from 0.
        state: ``pruned`` if it was stopped early, as it was worse than others at the same step.
        value: the best score of the run; the last one if it was pruned; None if it failed.
        params: the drawn values, by name.
        overrides: of the recipe, as ``KEY=VALUE``.
        error: why it failed, or None.
        directory: the run directory. If it failed early, it does not exist.
    """

    number: int
    state: Literal["complete", "pruned", "failed"]
    value: float | None
    params: Mapping[str, Any]
    overrides: Sequence[str]
    error: str | None
    directory: Path


def read_outcomes(study: optuna.Study, directory: Path) -> list[TrialOutcome]:
    """All trials that have ended and count, in the order of their numbers."""
    return [_outcome(trial, directory) for trial in study.get_trials(deepcopy=False) if is_counted(trial)]


def best_of(outcomes: Sequence[TrialOutcome], objective: Objective) -> TrialOutcome | None:
    """The complete trial with the best value; the first of equal ones."""
    complete = [outcome for outcome in outcomes if outcome.state == "complete" and outcome.value is not None]
    sign = 1 if objective.better == "lower" else -1
    return min(complete, key=lambda outcome: sign * (outcome.value or 0.0), default=None)


def _outcome(trial: FrozenTrial, directory: Path) -> TrialOutcome:
    return TrialOutcome(
        number=trial.number,
        state=STATES[trial.state],
        value=trial.value,
        params=trial.params,
        overrides=tuple(trial.user_attrs.get(OVERRIDES, ())),
        error=trial.user_attrs.get(ERROR),
        directory=trial_directory(directory, trial.number),
    )
