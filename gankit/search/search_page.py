"""The page of a search: Optuna's plots, and the table of all runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import optuna

from ..errors import GankitError
from ..files import write_text
from ..messages import counted
from ..recipe.inheritance import read_text
from ..reports.page.overview_page import find_runs, render_overview
from ..runs.file_names import REPORT
from .file_names import BASE, BEST, DATABASE, SPACE
from .objective import Objective
from .outcomes import TrialOutcome, best_of, read_outcomes
from .plan import DESCRIPTION
from .plots import draw_plots
from .study import open_storage, quiet_optuna, sqlite_url


def write_page(directory: Path, study: optuna.Study, objective: Objective, outcomes: Sequence[TrialOutcome]) -> Path:
    """Write ``report.html`` of a search.

    Args:
        directory: of the search.
        study: of Optuna.
        objective: the score.
        outcomes: of its trials.

    Returns:
        The path of the file.

    Raises:
        GankitError: it cannot be written.
    """
    best = best_of(outcomes, objective)
    states = Counter(outcome.state for outcome in outcomes)
    status = [counted(len(outcomes), "trial"), ", ".join(f"{count:,} {state}" for state, count in states.items())]
    ending = "" if best is None else f"; best {objective.score}: {best.value:.5g} (trial {best.number})"
    html = render_overview(
        directory,
        [*find_runs(directory, depth=1)],
        "search.html",
        status=f"{': '.join(filter(None, status))}{ending}; {objective.better} is better",
        best=best,
        best_file=BEST,
        plots=draw_plots(study, objective.score),
        failed=[outcome for outcome in outcomes if outcome.error is not None],
    )
    path = directory / REPORT
    write_text(path, html)
    return path


def rewrite_page(directory: Path) -> Path:
    """Write ``report.html`` of a search whose study is in its directory.

    Returns:
        The path of the file.

    Raises:
        GankitError: the study is elsewhere, or the page cannot be written.
    """
    if not (directory / DATABASE).is_file():
        raise GankitError(f"{directory}: the study of this search is in another storage; gankit search writes its page")
    searched = {key: read_text(directory / name) for key, name in (("recipe", BASE), ("space", SPACE))}
    with quiet_optuna():
        storage = open_storage(sqlite_url(directory / DATABASE))
        studies = [optuna.load_study(study_name=name, storage=storage) for name in optuna.get_all_study_names(storage)]
        described = [(study, study.user_attrs.get(DESCRIPTION) or {}) for study in studies]
        found = [one for one in described if all(one[1].get(key) == text for key, text in searched.items())]
        if not found:
            raise GankitError(f"{directory / DATABASE}: has no search of {BASE} and {SPACE}")
        # one that ended before its first trial may have been followed by another
        study, about = max(found, key=lambda one: len(one[0].get_trials(deepcopy=False)))
        return write_page(directory, study, Objective(*about["objective"]), read_outcomes(study, directory))
