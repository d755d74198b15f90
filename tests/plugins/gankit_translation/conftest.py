"""Networks with random weights in double precision, and the data that they are built for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import gankit


def _randomized(network: nn.Module, seed: int = 0) -> nn.Module:
    random = torch.Generator().manual_seed(seed)
    network.double()
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            drawn = torch.randn(value.shape, generator=random, dtype=torch.float64)
            scale = 1 / value[0].numel() ** 0.5 if value.dim() > 1 else 0.5
            value.copy_(drawn.exp() if name.endswith("running_var") else drawn * scale)
    return network


def _pairs(height: int, width: int, channels: int = 3, source_channels: int = 3) -> gankit.DataSpec:
    return gankit.DataSpec(
        image=gankit.ImageSpec(height, width, channels), source=gankit.ImageSpec(height, width, source_channels)
    )


def _noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def _normalized(x: Tensor, norm: str, state: dict[str, Tensor], prefix: str, training: bool) -> Tensor:
    if norm == "instance":
        mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, correction=0)
        return (x - mean) / (variance + 1e-5).sqrt()
    mean, variance = state[f"{prefix}.running_mean"], state[f"{prefix}.running_var"]
    if training:
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
    gain, shift = state[f"{prefix}.weight"], state[f"{prefix}.bias"]
    mean, variance, gain, shift = (value[:, None, None] for value in (mean, variance, gain, shift))
    return (x - mean) / (variance + 1e-5).sqrt() * gain + shift


@pytest.fixture(scope="session")
def randomized() -> Callable[..., nn.Module]:
    """``randomized(network)``: the network in fp64, all of whose parameters and statistics are random."""
    return _randomized


@pytest.fixture(scope="session")
def pairs() -> Callable[..., gankit.DataSpec]:
    """``pairs(height, width, channels, source_channels)``: data with a source of the size of the image."""
    return _pairs


@pytest.fixture(scope="session")
def noise() -> Callable[..., Tensor]:
    """``noise(*shape)``: uniform random numbers in [-1, 1), fp64."""
    return _noise


@pytest.fixture(scope="session")
def normalized() -> Callable[..., Tensor]:
    """``normalized(x, norm, state, prefix, training)``: batch or instance normalization, from its definition."""
    return _normalized
