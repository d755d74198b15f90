"""The progress of tasks before training, where there is no terminal."""

from __future__ import annotations

from types import SimpleNamespace

from gankit.cli.task_progress import TaskProgress


def test_lines_appear_only_for_tasks_that_take_long(monkeypatch, capsys):
    now = 100.0
    monkeypatch.setattr("gankit.cli.task_progress.time", SimpleNamespace(monotonic=lambda: now))
    with TaskProgress() as progress:
        for task, seconds in (("quick", 0.1), ("slow", 1.5)):
            for done in range(0, 30, 3):
                progress.report(task, done, 2_000)
                now += seconds
    assert capsys.readouterr().out.splitlines() == ["slow: 6/2,000  16:37 left", "slow: 27/2,000  16:26 left"]
