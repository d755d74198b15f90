"""Runs with the callback `evaluate`, a metric with given scores, and a noisy generator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gankit

ROOT = Path(__file__).parents[4]


SCORERS = ROOT / "tests/evaluation/scorers_plugin.py"


WANTED = {"metrics": ["gap"], "features": "colours", "samples": 70}


class Given:
    """A metric whose scores the test has written down, and that draws random numbers; needs two generated images."""

    uses = "features"
    scores: list[float] = []  # noqa: RUF012
    better = {"given": "higher"}  # noqa: RUF012

    def require(self, real: int, generated: int) -> None:
        if generated < 2:
            raise ValueError(f"2 generated images are needed, and {generated} were given: raise `samples`")

    def update(self, values: torch.Tensor, real: bool) -> None:
        torch.rand(1), np.random.rand()

    def compute(self) -> dict[str, float]:
        return {"given": self.scores.pop(0) if self.scores else 0.0}


class Noisy(torch.nn.Module):
    """With what training changes and sampling must not: BatchNorm, dropout, and noise of its own."""

    def __init__(self, image: gankit.ImageSpec, latent_dim: int, *, gain: gankit.Scheduled = 1.0) -> None:
        super().__init__()
        self.image, self.gain = image, gain
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(latent_dim, 8 * 16), torch.nn.Unflatten(1, (8, 4, 4)), torch.nn.BatchNorm2d(8),
            torch.nn.Dropout(0.1), torch.nn.ReLU(), torch.nn.ConvTranspose2d(8, image.channels, 4, 4),
        )  # fmt: skip

    def forward(self, z: torch.Tensor, labels: torch.Tensor | None = None, *, heat: float = 1.0) -> torch.Tensor:
        return (self.gain * self.layers(z + 0.01 * heat * torch.randn_like(z))).tanh()


class Plugin:
    @gankit.hookimpl
    def register(self, registries: gankit.Registries) -> None:
        registries.metrics.add("given", Given)
        registries.generators.add("noisy", Noisy)


@pytest.fixture
def runtime(tiny_plugin):
    return gankit.Runtime(plugins=[tiny_plugin, SCORERS, Plugin()])


@pytest.fixture
def given():
    """The scores of the evaluations to come; the first is the rehearsal's."""
    Given.scores = [0.0]
    yield Given.scores
    Given.scores = []


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANKIT_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def make(runtime, tiny_recipe, tmp_path):
    """``make("name", every=2, ..., recipe sections) -> trainer``, with the callback where it is given something."""

    def build(name: str = "run", callback: dict[str, Any] | None = None, **sections: Any) -> gankit.Trainer:
        own = [] if callback is None else [{"name": "evaluate", **WANTED, **callback}]
        sections.setdefault("callbacks", [*own, {"name": "checkpoint", "every": 1, "keep": 1}])
        sections.setdefault("dataset", {"name": "tiny", "count": 100})
        sections.setdefault("train", {"steps": 6, "device": "cpu", "precision": "fp32"})
        return runtime.assemble(runtime.load_checked(tiny_recipe(tmp_path, **sections)), tmp_path / name)

    return build
