"""One trial: draw values, train the recipe with them, and report its scores to the study."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import optuna

from ..errors import GankitError
from ..events import Evaluated, Event
from ..interfaces import Run
from ..messages import one_line, truncate
from ..runtime import Runtime
from ..training.trainer import Trainer
from .file_names import BASE, SPACE, trial_directory
from .objective import Objective
from .plan import Plan
from .space_file import read_space
from .study import ERROR, OVERRIDES, PROCESS, host_name, quiet_optuna

PRUNED = "pruned: worse than other trials at this step"
STOPPED = "the search was stopped"
MAX_ERROR = 500  # characters

IsStopped = Callable[[], bool]


class Reporter(Protocol):
    """Receives the scores of a run: an `optuna.Trial`."""

    def report(self, value: float, step: int) -> None:
        """Record the score of a step."""

    def should_prune(self) -> bool:
        """Whether the run is worse than others at the last reported step."""


class ReportScores:
    """A callback that reports scores to a trial, and stops the run if it should be pruned.

    Args:
        trial: of the run.
        objective: the score.
        is_stopped: says after each step whether the search has been stopped.

    Attributes:
        best: the best finite score so far.
    """

    def __init__(self, trial: Reporter, objective: Objective, is_stopped: IsStopped = lambda: False) -> None:
        self.best: float | None = None
        self._trial, self._objective, self._is_stopped = trial, objective, is_stopped
        self._reported = -1  # step

    def observe(self, trainer: Trainer) -> None:
        """Become a callback of a run."""
        trainer.callbacks.add("search", self)
        trainer.listeners.append(lambda event: self._listen(trainer, event))

    def on_step_end(self, run: Run) -> None:
        if self._is_stopped():
            run.stop(STOPPED)

    def _listen(self, run: Run, event: Event) -> None:
        if not isinstance(event, Evaluated) or self._objective.score not in event.scores:
            return
        value = event.scores[self._objective.score]
        if not math.isfinite(value) or run.state.step <= self._reported:  # a run that recovers repeats steps
            return
        self._reported = run.state.step
        choose = min if self._objective.better == "lower" else max
        self.best = value if self.best is None else choose(self.best, value)
        self._trial.report(value, run.state.step)
        if self._trial.should_prune():
            run.stop(PRUNED)


class StoppedError(Exception):
    """The search was stopped while the trial was running."""


def run_trial(plan: Plan, runtime: Runtime, is_stopped: IsStopped = lambda: False) -> None:
    """Run the next trial of a study. If it fails, the study has the reason.

    Args:
        plan: of the search.
        runtime: with the components.
        is_stopped: says after each step whether to stop the trial, which then does not count.
    """
    space = read_space(plan.file(SPACE))

    def objective(trial: optuna.Trial) -> float:
        trial.set_user_attr(PROCESS, [host_name(), os.getpid()])
        overrides = space.draw(trial)
        trial.set_user_attr(OVERRIDES, overrides)
        try:
            return _train(plan, runtime, overrides, ReportScores(trial, plan.objective, is_stopped), trial.number)
        except (optuna.TrialPruned, StoppedError):
            raise
        except Exception as error:
            kind = "" if isinstance(error, GankitError) else f"{type(error).__name__}: "
            trial.set_user_attr(ERROR, truncate(kind + one_line(error), MAX_ERROR))
            raise

    with quiet_optuna():
        plan.open_study().optimize(objective, n_trials=1, catch=(Exception,))


def _train(plan: Plan, runtime: Runtime, overrides: list[str], scores: ReportScores, number: int) -> float:
    """The best score of a run.

    Raises:
        optuna.TrialPruned: it was stopped early.
        StoppedError: the search was stopped.
        Exception: the recipe or the run fails.
    """
    directory = trial_directory(Path(plan.directory), number)
    trainer = runtime.assemble(runtime.load_checked(plan.file(BASE), overrides), directory)
    scores.observe(trainer)
    trainer.fit()
    while trainer.segment_ended:
        trainer = runtime.resume(directory)
        scores.observe(trainer)
        trainer.fit()
    if trainer.ending == PRUNED:
        raise optuna.TrialPruned
    if trainer.ending == STOPPED:
        raise StoppedError
    if scores.best is None:
        raise GankitError(f"the run has no finite score '{plan.score}'; it ended after step {trainer.state.step:,}")
    return scores.best
