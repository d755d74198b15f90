"""Runs in which some parameters are not trained."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import gankit
from gankit.runs.file_names import checkpoints

FREEZE = {"generator": ["layers.0.*", "layers.4.*"], "discriminator": ["features.0.*", "*.3.weight"]}
FROZEN = {
    "generator": ["layers.0.weight", "layers.4.weight", "layers.4.bias"],
    "discriminator": ["features.0.weight", "features.3.weight"],
}
DECAYING = {"name": "adamw", "lr": 1e-2, "weight_decay": 0.5}


@pytest.fixture
def everything() -> dict[str, Any]:
    """Sections of a recipe in which all that could move a parameter is used: weight decay, a penalty and an average."""
    return {
        "optimizers": {"generator": DECAYING, "discriminator": DECAYING},
        "regularizers": [{"name": "r1", "gamma": 0.1, "interval": 2}],
        "ema": {"half_life_images": 40, "ramp_up": None},
        "train": {"steps": 6, "freeze": FREEZE},
    }


@pytest.fixture
def frozen() -> dict[str, list[str]]:
    """The parameters that this recipe freezes."""
    return FROZEN


@pytest.fixture(scope="session")
def frozen_in() -> Callable[[dict[str, list[str]]], set[str]]:
    """``frozen_in(names)``: the full names of the frozen parameters, with those of the average."""

    def full_names(names: dict[str, list[str]]) -> set[str]:
        full = {f"{player}.{name}" for player in names for name in names[player]}
        return full | {name.replace("generator", "generator_ema") for name in full if name.startswith("generator.")}

    return full_names


@pytest.fixture(scope="session")
def parameters() -> Callable[[gankit.Trainer], dict[str, Tensor]]:
    """``parameters(trainer)``: copies of the parameters of its networks, by their full names."""

    def copies(trainer: gankit.Trainer) -> dict[str, Tensor]:
        networks = trainer.state.networks().items()
        return {f"{n}.{key}": p.detach().clone() for n, network in networks for key, p in network.named_parameters()}

    return copies


@pytest.fixture(scope="session")
def unchanged() -> Callable[[dict[str, Tensor], dict[str, Tensor]], set[str]]:
    """``unchanged(one, other)``: the names of the tensors that are the same in both."""
    return lambda one, other: {name for name in one if torch.equal(one[name], other[name])}


@pytest.fixture(scope="session")
def trained_names() -> Callable[[gankit.Trainer, str], set[str]]:
    """``trained_names(trainer, player)``: the parameters that its optimizer has."""

    def of_optimizer(trainer: gankit.Trainer, player: str) -> set[str]:
        names = {id(p): name for name, p in getattr(trainer.state, player).named_parameters()}
        return {names[id(p)] for group in trainer.state.optimizers[player].param_groups for p in group["params"]}

    return of_optimizer


@pytest.fixture(scope="session")
def hashes() -> Callable[[Path], dict[str, str]]:
    """``hashes(directory)``: of the weight files in the newest checkpoint of a run."""

    def of_files(directory: Path) -> dict[str, str]:
        files = checkpoints(directory)[-1].glob("*.safetensors")
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    return of_files
