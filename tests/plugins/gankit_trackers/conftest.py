"""Small runs with trackers, and what metrics.jsonl has recorded of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import gankit

STEPS = 8
CLOCKS = ("seconds", "images_per_second", "peak_memory_mib")  # read a moment later


class Reporter:
    """Logs a score and findings. Plants a NaN after step ``nan_at``, and lets the run return to its checkpoint.

    Plants an infinite statistic of BatchNorm, which no loss shows, after step ``infinite_at``.
    """

    def __init__(self, *, nan_at: int = 0, fail_at: int = 0, infinite_at: int = 0) -> None:
        self.nan_at, self.fail_at, self.infinite_at = nan_at, fail_at, infinite_at

    def on_step_end(self, run: gankit.Run) -> None:
        step = run.state.step
        if step == 2:
            run.log(gankit.Finding("mode_collapse", "all images are equal"))
        elif step == 3:
            run.log(gankit.Evaluated({"fd_pixels": 1 / 3}))
        elif step == 4:
            run.log(gankit.Recovered("mode_collapse", "images differ again"))
        if step == self.fail_at:
            raise RuntimeError("a fault")
        if run.not_finite() is not None:
            run.recover(True)
        if step == self.infinite_at:
            next(value for name, value in run.state.generator.named_buffers() if "running_var" in name).fill_(float("inf"))
        if step == self.nan_at:
            self.nan_at = 0
            with torch.no_grad():
                next(run.state.generator.parameters()).fill_(float("nan"))


@pytest.fixture
def runtime(runtime: gankit.Runtime, add_components: Callable[..., None]) -> gankit.Runtime:
    add_components(runtime, callbacks={"reporter": Reporter})
    return runtime


@pytest.fixture
def tracked(
    runtime: gankit.Runtime, recipe: Callable[..., gankit.Recipe], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., gankit.Trainer]:
    """``tracked(directory, tracker, nan_at=5, ...) -> trainer``: eight steps with a checkpoint every four."""
    monkeypatch.chdir(tmp_path)

    def assemble(directory: str, *trackers: dict[str, Any], **reporter: int) -> gankit.Trainer:
        callbacks = [
            {"name": "reporter", **reporter},
            {"name": "metrics_log", "every": 1},
            {"name": "checkpoint", "every": 4},
            *({"every": 1, "images_every": 4, **tracker} for tracker in trackers),
        ]
        made = recipe(callbacks=callbacks, train={"steps": STEPS}, regularizers=[{"name": "r1", "interval": 3}], report=False)
        return runtime.assemble(made, tmp_path / directory)

    return assemble


@pytest.fixture
def expected() -> Callable[[Path], dict[str, dict[int, float]]]:
    """``expected(directory)``: the value of each step by name, from ``metrics.jsonl``, and the score."""

    def read(directory: Path) -> dict[str, dict[int, float]]:
        values: dict[str, dict[int, float]] = {}
        for line in gankit.JsonLines.read(directory / "metrics.jsonl"):
            for name, value in line.items():
                if name not in ("step", *CLOCKS):
                    values.setdefault(f"train/{name}", {})[line["step"]] = float(value)
        assert len(values["train/generator_loss"]) > 1
        return values | {"scores/fd_pixels": {3: 1 / 3}}

    return read


@pytest.fixture
def without_clocks() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """``without_clocks(values)``: without those that are measured a moment later than for ``metrics.jsonl``."""

    def remove(values: dict[str, Any]) -> dict[str, Any]:
        clocks = {f"train/{name}" for name in CLOCKS}
        assert clocks <= set(values)
        return {name: value for name, value in values.items() if name not in clocks}

    return remove


def stop_at(trainer: gankit.Trainer, step: int) -> None:
    """Train to ``step``, and leave the run."""
    for _ in trainer:
        if trainer.state.step == step:
            break


@pytest.fixture(name="stop_at")
def _stop_at() -> Callable[[gankit.Trainer, int], None]:
    return stop_at


@pytest.fixture
def notices(events: Callable[[Path, str], list[dict[str, Any]]]) -> Callable[[gankit.Trainer], list[str]]:
    """``notices(trainer)``: what the trackers of a run have reported to the user."""
    return lambda trainer: [event["message"] for event in events(trainer.directory, "tracker_problem")]
