"""Fixtures that look at trainers and at the files of their runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import gankit


@pytest.fixture(scope="session")
def weights() -> Callable[[gankit.Trainer], list[Tensor]]:
    """``weights(trainer)``: copies of the parameters and buffers of its networks."""

    def copies(trainer: gankit.Trainer) -> list[Tensor]:
        networks = trainer.state.networks().values()
        return [value.clone() for network in networks for value in network.state_dict().values()]

    return copies


@pytest.fixture(scope="session")
def same() -> Callable[[list[Tensor], list[Tensor]], bool]:
    """``same(weights, weights)``: whether they are equal, bit by bit."""
    return lambda one, other: all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="session")
def names() -> Callable[[gankit.Trainer], list[str]]:
    """``names(trainer)``: the names of its checkpoints, oldest first."""
    return lambda trainer: [path.name for path in trainer.checkpoints]


@pytest.fixture(scope="session")
def files() -> Callable[[Path], dict[Path, bytes]]:
    """``files(directory)``: the content of every file in it."""
    return lambda directory: {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
