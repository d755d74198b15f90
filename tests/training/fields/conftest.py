"""Recipes whose networks and losses ask for fields of the data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

import gankit

PLUGIN = Path(__file__).parents[2] / "paired_plugin.py"
RECIPE: dict[str, Any] = {
    "name": "pairs",
    "image": {"size": 8},
    "dataset": "pairs",
    "latent": {"name": "normal", "dim": 5},
    "loader": {"batch_size": 8, "flip": True},
    "generator": "enlarge",
    "discriminator": "compare",
    "regularizers": ["l1", {"name": "r1", "interval": 2}],
    "ema": {"half_life_images": 50},
    "train": {"steps": 4, "device": "cpu", "precision": "fp64"},
}


@pytest.fixture
def runtime() -> gankit.Runtime:
    """A runtime with the plugin of pairs."""
    return gankit.Runtime(plugins=[PLUGIN])


@pytest.fixture
def recipe() -> Callable[..., gankit.Recipe]:
    """``recipe(**sections)``: the recipe with sections replaced."""
    return lambda **sections: gankit.Recipe.parse(RECIPE | sections)


@pytest.fixture
def train() -> dict[str, Any]:
    """Its section ``train``."""
    return {**RECIPE["train"]}


@pytest.fixture
def assemble(
    runtime: gankit.Runtime, recipe: Callable[..., gankit.Recipe], tmp_path: Path
) -> Callable[..., gankit.Trainer]:
    """``assemble("run", **sections)``: the trainer of the recipe with sections replaced."""
    return lambda name="run", **sections: runtime.assemble(recipe(**sections), tmp_path / name)


@pytest.fixture(scope="session")
def weights() -> Callable[[gankit.Trainer], dict[str, Tensor]]:
    """``weights(trainer)``: copies of the parameters and buffers of its networks, by their names."""

    def copies(trainer: gankit.Trainer) -> dict[str, Tensor]:
        return {
            f"{player} {name}": value.clone()
            for player, network in trainer.state.networks().items()
            for name, value in network.state_dict().items()
        }

    return copies
