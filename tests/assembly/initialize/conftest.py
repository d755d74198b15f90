"""Runs that start from the weights of another run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import gankit
from gankit.runs.file_names import checkpoints


def saved_weights(directory: Path) -> dict[str, Tensor]:
    files = checkpoints(directory)[-1].glob("*.safetensors")
    return {f"{file.stem}.{key}": value for file in files for key, value in load_file(file).items()}


@pytest.fixture(scope="session")
def saved() -> Callable[[Path], dict[str, Tensor]]:
    """``saved(directory)``: the weights in the newest checkpoint of a run, named in the same way."""
    return saved_weights


@pytest.fixture(scope="session")
def weights() -> Callable[[gankit.Trainer], dict[str, Tensor]]:
    """``weights(trainer)``: copies of all weights of a run by their name, which begins with that of the network."""

    def copies(trainer: gankit.Trainer) -> dict[str, Tensor]:
        networks = trainer.state.networks().items()
        return {f"{name}.{key}": value.clone() for name, network in networks for key, value in network.state_dict().items()}

    return copies


@pytest.fixture(scope="session")
def different() -> Callable[[dict[str, Tensor], dict[str, Tensor]], set[str]]:
    """``different(one, other)``: the names of the weights in ``one`` that are not the same in ``other``."""
    return lambda one, other: {name for name in one if not torch.equal(one[name], other[name])}


@pytest.fixture(scope="session")
def ema() -> dict[str, Any]:
    """The section of the recipes."""
    return {"half_life_images": 50, "ramp_up": None}


@pytest.fixture
def tiny(
    tiny_plugin: ModuleType, tiny_runtime: gankit.Runtime, tiny_recipe: Callable[..., Path], ema: dict[str, Any], tmp_path: Path
) -> Callable[..., gankit.Trainer]:
    """``tiny("name", **sections) -> trainer``: the tiny recipe with an EMA, assembled for the directory of that name."""

    class Judge(tiny_plugin.TinyDiscriminator):
        """Holds a generator."""

        def __init__(self, image: gankit.ImageSpec, *, dim: int = 4) -> None:
            super().__init__(image)
            self.fake_score = tiny_plugin.TinyGenerator(image, dim)

    class Tied(tiny_plugin.TinyDiscriminator):
        """Uses its first layer under two names."""

        def __init__(self, image: gankit.ImageSpec) -> None:
            super().__init__(image)
            self.again = self.hidden

    class Reading(tiny_plugin.TinyGenerator):
        """Reads a value, which a network on the meta device lacks."""

        def forward(self, z: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
            return super().forward(z, labels) * float(z.sum() > -1e9)

    class Plugin:
        @gankit.hookimpl
        def register(self, registries: gankit.Registries) -> None:
            registries.discriminators.add("judge", Judge)
            registries.discriminators.add("tied", Tied)
            registries.generators.add("reading", Reading)

    tiny_runtime.load_plugin(Plugin())

    def assemble(name: str, **sections: Any) -> gankit.Trainer:
        shutil.rmtree(tmp_path / name, ignore_errors=True)
        path = tiny_recipe(tmp_path, **{"ema": ema, **sections})
        return tiny_runtime.assemble(tiny_runtime.load_checked(path), tmp_path / name)

    return assemble


@pytest.fixture
def first(tiny: Callable[..., gankit.Trainer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """A finished run in the directory ``first``, and its weights."""
    monkeypatch.chdir(tmp_path)
    tiny("first", seed=5).fit()
    return saved_weights(tmp_path / "first")
