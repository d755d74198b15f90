"""Runs of small generators whose weights are far from their initial values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import gankit

SMALL = [
    "dataset={name: shapes, count: 16, size: 32}",
    "latent.dim=16",
    "discriminator={name: dcgan, width: 4}",
    "regularizers=[]",
    "loader.batch_size=4",
    "train={steps: 100, precision: fp32, device: cpu}",
    "ema.half_life_images=4",
    "callbacks=[]",
]
STEPS = 4
RECIPE = Path(__file__).parents[2] / "recipes" / "quickstart.yaml"


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """``trained(*overrides, plugins=()) -> run directory``: the quickstart with small networks, after a few steps."""
    monkeypatch.chdir(tmp_path)

    def train(*overrides: str, plugins: tuple[object, ...] = ()) -> Path:
        runtime = gankit.Runtime(plugins=plugins)
        trainer = runtime.assemble(runtime.load_checked(RECIPE, [*SMALL, *overrides]), "run")
        random = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in trainer.state.generator.parameters():
                noise = torch.randn(parameter.shape, generator=random)
                parameter.add_((0.1 + 0.5 * parameter.std(correction=0)) * noise)
        for _ in range(STEPS):  # which estimate statistics and singular values
            trainer.step()
        trainer.save()
        return Path("run")

    return train
