"""Search for the best values of a recipe: trials in processes, or one after another in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import optuna

from ..errors import GankitError
from ..evaluation.record import Better
from ..files import write_text, writing
from ..messages import counted, quote, warn
from ..recipe.checked_recipe import CheckedRecipe
from ..recipe.inheritance import parse
from ..runs.file_names import RESULTS
from ..runtime import Runtime
from .check_space import check_space
from .file_names import BASE, BEST, DATABASE, SPACE
from .objective import EVALUATE, Objective, find_objective
from .outcomes import TrialOutcome, best_of, read_outcomes
from .plan import Plan, require_nothing_to_overwrite, require_same_search
from .search_page import write_page
from .space_file import parse_space, read_space_text
from .study import PROCESS, fail_killed_trials, quiet_optuna, running_trials, sqlite_url
from .trial import run_trial
from .trial_processes import TrialProcesses

POLL_SECONDS = 0.5

ReportTrial = Callable[[TrialOutcome, TrialOutcome | None], None]
"""Called with each trial that has ended, and the best one so far."""


@dataclass(frozen=True)
class SearchResult:
    """A search.

    Attributes:
        directory: with the run directories of the trials.
        objective: the score, and which values of it are better.
        trials: all that have ended.
        best: the complete trial with the best score; None if no trial is complete.
        study: of Optuna.
    """

    directory: Path
    objective: Objective
    trials: Sequence[TrialOutcome]
    best: TrialOutcome | None
    study: optuna.Study


def run_search(
    recipe: str | Path,
    space: str | Path,
    overrides: Sequence[str] = (),
    *,
    trials: int = 50,
    directory: str | Path | None = None,
    study: str | None = None,
    storage: str | None = None,
    objective: str | None = None,
    better: Better | None = None,
    sampler: str = "tpe",
    pruner: str = "median",
    seed: int | None = None,
    jobs: int = 1,
    plugins: Sequence[str] = (),
    report: ReportTrial = lambda outcome, best: None,
) -> SearchResult:
    """Run trials until the study has ``trials`` of them, and write the best recipe and a page.

    The same call continues a search that was stopped. Trials that were stopped or killed do not count.

    Args:
        recipe: the recipe file.
        space: the file of the search space.
        overrides: ``KEY=VALUE`` settings of all trials.
        trials: the number of trials of the study, including those of earlier calls and of other processes.
        directory: of the search; None for ``results/search-STUDY``.
        study: name of the study; None for the name of the recipe.
        storage: a URL of SQLAlchemy, or ``journal:PATH``; None for ``search.db`` in the directory.
        objective: the score; None for the first of the callback ``evaluate`` with a known direction.
        better: which values of the score are better; None asks its metric.
        sampler: ``tpe``, ``random`` or ``cmaes``.
        pruner: ``median``, ``hyperband`` or ``none``.
        seed: of the sampler; None for a random one.
        jobs: number of processes that run trials; 0 runs them in this process.
        plugins: as for `gankit.Runtime`: paths of files or names of modules.
        report: called with each trial that has ended.

    Raises:
        RecipeError: the recipe or the space is invalid.
        GankitError: the storage cannot be opened, the study searches something else, or trials cannot be started.
        KeyboardInterrupt: Ctrl-C; the running trials were stopped with a checkpoint.
    """
    if trials < 1 or jobs < 0:
        raise GankitError(f"trials should be at least 1, and jobs at least 0; got {quote(trials)} and {quote(jobs)}")
    runtime = Runtime(plugins)
    for broken in runtime.broken:
        warn(f"{broken.reason}; continuing without this plugin")
    checked = runtime.load_checked(recipe, overrides)
    text = read_space_text(space)
    data = parse(checked.recipe.to_yaml(), BASE).data  # with all defaults, as trials change it
    complete = replace(checked.recipe.document, data=data)
    check_space(parse_space(text, str(space)), complete, runtime.registries)
    found = find_objective(checked, runtime.registries, objective, better)
    name = study or checked.recipe.name
    if directory is None and Path(name).name != name:
        raise GankitError(f"study '{name}': is not the name of a folder under {RESULTS}/; give the folder with --out")
    folder = Path(directory) if directory is not None else Path(RESULTS) / f"search-{name}"
    plan = Plan(
        directory=str(folder),
        study=name,
        storage=storage or sqlite_url(folder / DATABASE),
        score=found.score,
        better=found.better,
        sampler=sampler,
        pruner=pruner,
        seed=seed,
        interval=_interval(checked),
        steps=checked.recipe.train.steps,
        plugins=tuple(plugins),
    )
    return _Search(plan, runtime, report).run(checked, text, trials, jobs)


class _Search:
    """Starts trials and reports those that have ended."""

    def __init__(self, plan: Plan, runtime: Runtime, report: ReportTrial) -> None:
        self._plan, self._runtime, self._report = plan, runtime, report
        self._reported: set[int] = set()  # numbers of trials

    def run(self, checked: CheckedRecipe, space: str, trials: int, jobs: int) -> SearchResult:
        plan, text = self._plan, checked.recipe.to_yaml()
        with writing(Path(plan.directory)):
            Path(plan.directory).mkdir(parents=True, exist_ok=True)
        if plan.storage == sqlite_url(Path(plan.directory, DATABASE)):  # before it is created
            require_nothing_to_overwrite(plan)
        with quiet_optuna():
            self._study = plan.open_study()
            require_same_search(self._study, plan, text, space)
            for name, content in ((BASE, text), (SPACE, space)):
                write_text(plan.file(name), content)
            fail_killed_trials(self._study)
            self._reported = {outcome.number for outcome in self._outcomes()}
            try:
                if jobs:
                    self._run_in_processes(trials, jobs)
                else:
                    self._run_here(trials)
            finally:
                result = self._finish()
        return result

    def _run_here(self, trials: int) -> None:
        while len(self._outcomes()) < trials:
            run_trial(self._plan.for_trial(len(self._study.get_trials(deepcopy=False))), self._runtime)
            self._report_new()

    def _run_in_processes(self, trials: int, jobs: int) -> None:
        processes = TrialProcesses(self._plan)
        number, waiting = len(self._study.get_trials(deepcopy=False)), False
        try:
            while True:
                processes.collect()
                fail_killed_trials(self._study)
                ended = len(self._report_new())
                if ended >= trials and not processes:
                    return
                own = processes.numbers
                others = sum(t.user_attrs.get(PROCESS) not in own for t in running_trials(self._study))
                if others and not processes and ended + others >= trials and not waiting:
                    warn(
                        f"waiting for {counted(others, 'trial')} of other processes; killed ones fail after a minute, "
                        "or with a journal file once the search is started on their machine again"
                    )
                    waiting = True
                while len(processes) < jobs and ended + others + len(processes) < trials:
                    processes.start(number)
                    number += 1
                time.sleep(POLL_SECONDS)
        finally:
            try:
                processes.stop()
            except KeyboardInterrupt:  # the second one
                processes.kill()
                raise
            finally:
                fail_killed_trials(self._study)
                self._report_new()

    def _outcomes(self) -> list[TrialOutcome]:
        return read_outcomes(self._study, Path(self._plan.directory))

    def _report_new(self) -> list[TrialOutcome]:
        """Report the trials that have ended since the last call. Returns: all that have ended."""
        outcomes = self._outcomes()
        for outcome in outcomes:
            if outcome.number not in self._reported:
                self._reported.add(outcome.number)
                so_far = [other for other in outcomes if other.number in self._reported]
                self._report(outcome, best_of(so_far, self._plan.objective))
        return outcomes

    def _finish(self) -> SearchResult:
        """Write the best recipe and the page."""
        plan, outcomes = self._plan, self._outcomes()
        best = best_of(outcomes, plan.objective)
        if best is not None:
            checked = self._runtime.load_checked(plan.file(BASE), best.overrides)
            write_text(plan.file(BEST), checked.recipe.to_yaml())
        if outcomes:
            write_page(Path(plan.directory), self._study, plan.objective, outcomes)
        return SearchResult(Path(plan.directory), plan.objective, outcomes, best, self._study)


def _interval(checked: CheckedRecipe) -> int:
    """The steps between two scores of a run."""
    callbacks = checked.of_section("callbacks").values()
    every = [part.plain_params().get("every") for part in callbacks if part.entry.name == EVALUATE]
    return next((steps for steps in every if isinstance(steps, int)), 1)
