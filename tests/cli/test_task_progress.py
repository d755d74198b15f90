"""The progress of tasks before training, where there is no terminal."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gankit.cli import task_progress
from gankit.cli.task_progress import TaskProgress


@pytest.fixture
def clock(monkeypatch):
    """``clock.now``: the time in seconds."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(task_progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_lines_appear_only_for_tasks_that_take_long(clock, capsys):
    with TaskProgress() as progress:
        for task, seconds in (("quick", 0.1), ("slow", 1.5)):
            for done in range(0, 30, 3):
                progress.report(task, done, 2_000)
                clock.now += seconds
    assert capsys.readouterr().out.splitlines() == ["slow: 6/2,000  16:37 left", "slow: 27/2,000  16:26 left"]


def test_forced_colors_do_not_make_a_pipe_a_terminal(clock, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with TaskProgress(quiet_seconds=0.0) as progress:
        progress.report("reading", 0, 100)
    assert capsys.readouterr().out == "reading: 100 ...\n"


def test_every_task_is_announced_where_its_command_asks_for_it(clock, capsys):
    with TaskProgress(quiet_seconds=0.0) as progress:
        for task in ("reading", "features"):
            for done in (0, 10, 25, 50, 100):
                clock.now += 0 if done == 0 else 6
                progress.report(task, done, 100)
    assert capsys.readouterr().out.splitlines() == [
        "reading: 100 ...",
        "reading: 25/100  0:36 left",
        "features: 100 ...",
        "features: 25/100  0:36 left",
    ]
