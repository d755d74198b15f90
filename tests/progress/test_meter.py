"""The speed of a run, and the time that is left."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gankit.messages import format_duration
from gankit.progress.meter import Meter, Speed


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
    """The rate is that since the last update; the time left follows from the average since the start or the return."""
    now = 100.0
    monkeypatch.setattr("gankit.progress.meter.time", SimpleNamespace(monotonic=lambda: now))
    run = SimpleNamespace(state=SimpleNamespace(step=10), images=80, total_steps=40)
    meter = Meter(run)

    def after(seconds, step):
        nonlocal now
        now += seconds
        run.state.step, run.images = step, 8 * step
        assert meter.is_due(seconds)
        assert not meter.is_due(seconds + 0.1)
        return meter.update(run)

    assert after(20, 20) == Speed(images_per_second=4, elapsed=20, left=40)
    assert after(5, 30) == Speed(images_per_second=16, elapsed=25, left=12.5)
    run.state.step, run.images = 20, 160
    meter.restart(run)
    assert after(10, 25) == Speed(images_per_second=4, elapsed=35, left=30)
