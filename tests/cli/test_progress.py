"""Durations, and the figures of the progress display."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gankit.cli.console import format_duration
from gankit.cli.progress import Meter


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (59.4, "0:59"),
        (59.6, "1:00"),
        (425, "7:05"),
        (3_599, "59:59"),
        (3_600, "1:00:00"),
        (4_025, "1:07:05"),
    ],
)
def test_durations(seconds, text):
    assert format_duration(seconds) == text


def test_the_meter(monkeypatch):
    """The rate is that since the last update; the time left follows from the average since the start."""
    now = 100.0
    monkeypatch.setattr("gankit.cli.progress.time", SimpleNamespace(monotonic=lambda: now))
    run = SimpleNamespace(state=SimpleNamespace(step=10), images=80, total_steps=40, scalars={"generator_loss": 0.25})
    meter = Meter(run)
    for step, seconds, rate, left in ((20, 20, 4, "0:40"), (30, 5, 16, "0:12")):
        now += seconds
        run.state.step, run.images = step, 8 * step
        assert meter.is_due(seconds)
        assert not meter.is_due(seconds + 0.1)
        assert meter.update(run) == {
            "step": f"{step}/40",
            "rate": f"{rate} images/s",
            "losses": "loss G 0.250",
            "left": f"{left} left",
        }
