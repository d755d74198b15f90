"""Trials in processes of their own: jobs at the same time, killed processes, Ctrl-C, and a shared storage."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gankit

pytest.importorskip("optuna")

import optuna

from gankit.search import run_search

pytestmark = pytest.mark.slow

LR = "optimizers.generator.lr: {log: [1.0e-4, 1]}"
OPTIONS = ["--objective", "distance", "--better", "lower", "--seed", "1"]
STATES = optuna.trial.TrialState


@pytest.fixture
def start(searched: Callable[..., tuple[str, str]], plugins: list[str]) -> Any:
    """``start(*options, **score)``: the command in a process group of its own."""
    started = []

    def start(*options: object, **score: Any) -> subprocess.Popen[str]:
        train = {"steps": 3, "device": "cpu", "precision": "fp32"}
        words = [*searched(LR, callbacks=[{"name": "score", **score}], train=train), *OPTIONS, *map(str, options)]
        words += [word for plugin in plugins for word in ("--plugin", plugin)]
        command = [sys.executable, "-m", "gankit", "search", *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


def study() -> optuna.Study:
    return optuna.load_study(study_name="tiny", storage="sqlite:///results/search-tiny/search.db")


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it never happened")


def is_training(number: int) -> bool:
    return Path(f"results/search-tiny/trial-{number:04d}/run.json").is_file()


def states() -> list[optuna.trial.TrialState]:
    try:
        return [trial.state for trial in study().trials]
    except (KeyError, optuna.exceptions.OptunaError):
        return []


def test_two_jobs(start):
    process = start("--trials", 4, "--jobs", 2, seconds=0.3)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert states() == [STATES.COMPLETE] * 4
    trials = study().trials
    overlapping = [a for a in trials for b in trials if a.number < b.number and b.datetime_start < a.datetime_complete]
    assert overlapping
    assert len({tuple(trial.user_attrs["process"]) for trial in trials}) == 4  # a process for each
    assert len({trial.params["optimizers.generator.lr"] for trial in trials}) == 4
    assert output.count("complete") == 4
    assert Path("results/search-tiny/best.yaml").is_file()


def test_ctrl_c_stops_with_checkpoints_and_the_same_command_goes_on(start):
    process = start("--trials", 3, "--jobs", 2, seconds=2)
    wait_for(lambda: is_training(0) and is_training(1))
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "stopped; run the same command again to continue" in output
    assert STATES.RUNNING not in states()
    assert [*Path("results/search-tiny").glob("trial-0000/checkpoints/step-*")]
    process = start("--trials", 3, "--jobs", 2, seconds=2)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert states().count(STATES.COMPLETE) == 3
    assert states().count(STATES.FAIL) == 2  # they do not count


def test_a_killed_trial_does_not_count(start):
    process = start("--trials", 2, kill_first=True)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert states() == [STATES.FAIL, STATES.COMPLETE, STATES.COMPLETE]


def test_a_killed_search_stops_its_trials_and_goes_on(start):
    process = start("--trials", 2, seconds=1.5)
    wait_for(lambda: is_training(0))
    process.kill()
    process.communicate()
    wait_for(lambda: states() == [STATES.FAIL])  # the trial saw that standard input was closed
    process = start("--trials", 2, seconds=1.5)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert states() == [STATES.FAIL, STATES.COMPLETE, STATES.COMPLETE]


def test_search_and_trial_killed_at_once(start):
    """As by a power failure: nobody marks the trial, but its process is missing when the search goes on."""
    process = start("--trials", 1, seconds=1.5)
    wait_for(lambda: is_training(0))
    (trial,) = study().trials
    process.kill()
    os.kill(trial.user_attrs["process"][1], signal.SIGKILL)
    process.communicate()
    assert states() == [STATES.RUNNING]
    process = start("--trials", 1, seconds=0.1)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 2, output
    assert "was started with another recipe" in output
    process = start("--trials", 1, seconds=1.5)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert states() == [STATES.FAIL, STATES.COMPLETE]


@pytest.mark.parametrize("storage", ["sqlite:///shared.db", "journal:shared.log"])
def test_two_searches_share_a_storage(start, storage):
    folders = [f"machine{number}" for number in range(2)]
    processes = [start("--trials", 6, "--storage", storage, "--out", folder, "--seed", seed, seconds=0.3) for seed, folder in enumerate(folders)]
    for process in processes:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    made = [{path.name for path in Path(folder).glob("trial-*")} for folder in folders]
    assert all(made)
    assert not made[0] & made[1]
    assert 6 <= len(made[0] | made[1]) <= 7  # both may have begun the last one
    assert Path("machine0/best.yaml").read_text() == Path("machine1/best.yaml").read_text()


def test_trials_import_nothing_from_the_working_folder(searched, plugins):
    """As the command: a file there may have the name of a library."""
    files = searched(LR)
    Path("optuna.py").write_text("raise SystemExit('imported')\n")
    words = [*files, *OPTIONS, "--trials", "1", *(word for plugin in plugins for word in ("--plugin", plugin))]
    command = [Path(sys.executable).with_name("gankit"), "search", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert states() == [STATES.COMPLETE]


def test_processes_that_cannot_start(searched, plugins, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(gankit.GankitError, match="3 processes in a row ended without a result; the last one failed with exit code 1"):
        run_search(*searched(LR), trials=2, plugins=plugins, objective="distance", better="lower")
