"""The settings that all processes of a search share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from ..errors import GankitError
from ..evaluation.record import Better
from ..runs.file_names import RECIPE, REPORT
from .file_names import BASE, BEST, DATABASE, SPACE
from .objective import Objective
from .study import make_pruner, make_sampler, open_storage, sqlite_url

DESCRIPTION = "gankit"  # the user attribute of the study that says what is searched


@dataclass(frozen=True)
class Plan:
    """The settings of a search, as plain data.

    Attributes:
        directory: of the search.
        study: its name in the storage.
        storage: its URL.
        score: that is optimized.
        better: which values of it are better.
        sampler: proposes values.
        pruner: stops trials early.
        seed: of the sampler; None for a random one.
        interval: steps between two scores of a run.
        steps: the length of a run; None if it is not given in steps.
        plugins: paths of files or names of modules, for other processes.
    """

    directory: str
    study: str
    storage: str
    score: str
    better: Better
    sampler: str
    pruner: str
    seed: int | None
    interval: int
    steps: int | None
    plugins: Sequence[str] = ()

    @property
    def objective(self) -> Objective:
        """The score that is optimized."""
        return Objective(self.score, self.better)

    def file(self, name: str) -> Path:
        """A file of the search."""
        return Path(self.directory) / name

    def for_trial(self, number: int) -> Plan:
        """The same with another seed for each trial, so that no two draw the same.

        This also holds for a search that goes on, and for several machines that search with different seeds.
        """
        if self.seed is None:
            return self
        return replace(self, seed=int(np.random.SeedSequence((self.seed, number)).generate_state(1)[0]))

    def open_study(self) -> optuna.Study:
        """The study, created if it does not exist. Raises: GankitError: the storage, sampler or pruner is unknown."""
        sampler, pruner = make_sampler(self.sampler, self.seed), make_pruner(self.pruner, self.interval, self.steps)
        return optuna.create_study(
            storage=open_storage(self.storage),
            study_name=self.study,
            direction="minimize" if self.better == "lower" else "maximize",
            sampler=sampler,
            pruner=pruner,
            load_if_exists=True,
        )

    def as_dict(self) -> dict[str, Any]:
        """The settings as JSON data."""
        return asdict(self)


def require_nothing_to_overwrite(plan: Plan) -> None:
    """Raises: GankitError: the directory has files that the search would overwrite, or belongs to another study."""
    folder, own_database = Path(plan.directory), plan.storage == sqlite_url(plan.file(DATABASE))
    if own_database and plan.file(DATABASE).exists():
        return
    names = [name for name in (DATABASE, BASE, SPACE, BEST, REPORT, RECIPE) if (folder / name).exists()]
    logs = [path.name for path in sorted(folder.glob("process-*.log"))]
    if taken := names + logs:
        raise GankitError(
            f"{folder}: contains {taken[0]}, which the search would overwrite; give another directory with --out"
        )
    if [*folder.glob("trial-*")]:
        raise GankitError(f"{folder}: has trials of another search; give another directory with --out")


def require_same_search(study: optuna.Study, plan: Plan, recipe: str, space: str) -> None:
    """Record what a new study searches, or compare it with what an existing one does.

    Args:
        study: of the search.
        plan: of the search.
        recipe: the complete recipe as YAML.
        space: the search space as YAML.

    Raises:
        GankitError: the study searches something else, runs in the directory belong to another study, or a file there
            would be overwritten.
    """
    wanted = {"recipe": recipe, "space": space, "objective": [plan.score, plan.better]}
    found = study.user_attrs.get(DESCRIPTION)
    if found is None:
        if study.get_trials(deepcopy=False):
            raise GankitError(f"study '{plan.study}': is not a search of gankit; give another --study")
        if [*Path(plan.directory).glob("trial-*")]:  # also next to a database with another study
            raise GankitError(f"{plan.directory}: has trials of another search; give another directory with --out")
        require_nothing_to_overwrite(plan)
        study.set_user_attr(DESCRIPTION, wanted)
    elif differing := [key for key, value in wanted.items() if found.get(key) != value]:
        raise GankitError(
            f"study '{plan.study}': was started with another {' and another '.join(differing)}; to search anew, give "
            "another --study, and another --out if you give one; to go on, use the same files and overrides"
        )
    elif not _has_files(plan, recipe, space):  # of a search on another machine or in another directory
        require_nothing_to_overwrite(plan)


def _has_files(plan: Plan, recipe: str, space: str) -> bool:
    """Whether the directory is that of an earlier part of the search."""
    try:
        texts = [plan.file(name).read_text(encoding="utf-8") for name in (BASE, SPACE)]
    except (OSError, UnicodeDecodeError):
        return False
    return texts == [recipe, space]
