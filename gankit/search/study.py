"""Optuna's studies: storages, samplers and pruners by name."""

from __future__ import annotations

import logging
import os
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, get_args

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, CmaEsSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from ..errors import GankitError
from ..messages import did_you_mean, one_line
from ..optional_imports import import_optional

SamplerName = Literal["tpe", "random", "cmaes"]
PrunerName = Literal["median", "hyperband", "none"]
JOURNAL = "journal:"  # before the path of a journal file
HEARTBEAT_SECONDS = 15
GRACE_SECONDS = 60  # without a heartbeat, after which a trial counts as killed
LOCK_SECONDS = 60.0  # that a process waits while another one writes to the same SQLite file

# user attributes of a trial
PROCESS = "process"  # [host, process id] of the process that runs it, see `host_name`
OVERRIDES = "overrides"
ERROR = "error"  # why it failed; missing for a trial that was stopped or killed


def sqlite_url(path: Path) -> str:
    """The storage of a database file; characters such as ``?`` in its path are quoted."""
    from sqlalchemy import URL

    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def open_storage(url: str) -> BaseStorage:
    """The storage at a URL of SQLAlchemy, or in a journal file: ``journal:PATH``. Raises: GankitError: it fails."""
    try:
        if url.startswith(JOURNAL):
            return JournalStorage(JournalFileBackend(url.removeprefix(JOURNAL)))
        connect = {"timeout": LOCK_SECONDS} if url.startswith("sqlite") else {}
        return RDBStorage(
            url,
            engine_kwargs={"connect_args": connect},
            heartbeat_interval=HEARTBEAT_SECONDS,
            grace_period=GRACE_SECONDS,
        )
    except Exception as error:  # SQLAlchemy, its drivers and the file system have many
        raise GankitError(
            f"the storage cannot be opened: {one_line(error)}; give a URL such as sqlite:///search.db or "
            f"postgresql://user@host/database, or a file on a shared disk as {JOURNAL}search.log"
        ) from None


def make_sampler(name: str, seed: int | None) -> BaseSampler:
    """The sampler of a name. ``seed`` None draws differently each time. Raises: GankitError: the name is unknown."""
    if name == "tpe":
        return TPESampler(seed=seed)
    if name == "random":
        return RandomSampler(seed=seed)
    if name == "cmaes":
        import_optional("cmaes", "cmaes", "sampler 'cmaes'", "search")
        return CmaEsSampler(seed=seed, warn_independent_sampling=False)
    raise GankitError(f"unknown sampler '{name}'{did_you_mean(name, get_args(SamplerName))}")


def make_pruner(name: str, interval: int, steps: int | None) -> BasePruner:
    """The pruner of a name.

    Args:
        name: of the pruner.
        interval: steps between two scores of a run.
        steps: the length of a run; None if the recipe gives it in epochs or images.

    Raises:
        GankitError: the name is unknown.
    """
    if name == "median":
        return MedianPruner()
    if name == "hyperband":
        return HyperbandPruner(min_resource=interval, max_resource="auto" if steps is None else max(steps, interval))
    if name == "none":
        return NopPruner()
    raise GankitError(f"unknown pruner '{name}'{did_you_mean(name, get_args(PrunerName))}")


def host_name() -> str:
    """The host, and on Linux the namespace of its process ids, as each container has its own."""
    with suppress(OSError):
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    return socket.gethostname()


def is_counted(trial: FrozenTrial) -> bool:
    """Whether a trial is one of those that were asked for: it has ended by itself, or failed with an error."""
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or (
        trial.state == TrialState.FAIL and ERROR in trial.user_attrs
    )


def running_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that a process on any machine runs."""
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


def fail_killed_trials(study: optuna.Study) -> None:
    """Mark trials as failed whose process has been killed.

    On this machine, the process must be missing; on others, its heartbeats, which journal files do not have.
    """
    optuna.storages.fail_stale_trials(study)
    host = host_name()
    for trial in running_trials(study):
        owner = trial.user_attrs.get(PROCESS)
        if isinstance(owner, list) and owner[0] == host and not _is_alive(int(owner[1])):
            with suppress(optuna.exceptions.UpdateFinishedTrialError, ValueError):  # it ended in the meantime
                study.tell(trial.number, state=TrialState.FAIL)


def _is_alive(process: int) -> bool:
    """Whether a process of this machine exists."""
    if sys.platform == "win32":
        return True  # signal 0 would end it there: only its heartbeats can tell
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """A block in which Optuna neither logs trials nor warns of experimental functions."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
