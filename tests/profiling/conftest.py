"""A trainer to profile, and a clock that only tests advance."""

from __future__ import annotations

import pytest


@pytest.fixture
def trainer(tiny_runtime, tiny_recipe, tmp_path):
    """``trainer(**sections)`` of the tiny recipe."""

    def make(**sections):
        return tiny_runtime.assemble(tiny_runtime.load_checked(tiny_recipe(tmp_path, **sections)), tmp_path / "run")

    return make


class Clock:
    """A replacement for the module `time`.

    Attributes:
        now: in seconds.
        tick: seconds that each reading of the clock adds.
    """

    def __init__(self) -> None:
        self.now = self.tick = 0.0

    def perf_counter(self) -> float:
        self.now += self.tick
        return self.now

    def advance(self, seconds) -> None:
        self.now += seconds

    def slow_down(self, holder, method, seconds) -> None:
        """Let each call of a method take ``seconds``."""
        original = getattr(holder, method)

        def slowed(*args, **kwargs):
            self.advance(seconds)
            return original(*args, **kwargs)

        setattr(holder, method, slowed)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("gankit.profiling.step_profile.time", clock)
    return clock


@pytest.fixture(autouse=True)
def _small_matrices(monkeypatch):
    monkeypatch.setattr("gankit.profiling.flops.MATRIX_SECONDS", 0.01)
    monkeypatch.setattr("gankit.profiling.flops.MATRIX_SIDES", {"cpu": (64,), "cuda": (1024,)})
