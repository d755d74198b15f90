"""Copies of networks, also of networks that Python cannot copy."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..device.seeding import preserved_random_state
from ..networks.frozen import frozen_networks

BuildNetwork = Callable[[], nn.Module]
"""Builds the network again, with the registered factory and the parameters of the recipe."""


def build_again(build: BuildNetwork, device: torch.device | None = None) -> nn.Module:
    """A network whose initial weights do not matter: drawing them leaves all random generators as they were."""
    with preserved_random_state(device):
        return build()


def copy_network(network: nn.Module, build: BuildNetwork | None = None) -> nn.Module:
    """A copy with the same weights, buffers, memory layout and mode.

    Some classes cannot be copied, or their copies are of another class (such as those that pickle their own source
    code). These are built again.

    Args:
        network: whose copy is made.
        build: builds such a network on the CPU; None raises the error instead.

    Raises:
        Exception: the network can neither be copied nor built again.
    """
    try:
        twin = copy.deepcopy(network)
        if build is None or _classes(twin) == _classes(network):
            return twin
    except Exception:  # a network may hold anything
        if build is None:
            raise
    return _filled(build_again(build, _device(network)), network)


@torch.no_grad()
def _filled(twin: nn.Module, network: nn.Module) -> nn.Module:
    """``twin`` with the tensors of ``network``, whose layout, type and device they keep, and its frozen networks."""
    for own_frozen, frozen in zip(*(frozen_networks({"": part}).values() for part in (twin, network)), strict=True):
        own_frozen.share(frozen)
    for own, source in zip(_tensors(twin), _tensors(network), strict=True):
        own.data = source.detach().clone()
        own.requires_grad_(source.requires_grad)
    for own_module, module in zip(twin.modules(), network.modules(), strict=True):
        own_module.training = module.training
    return twin


def _tensors(network: nn.Module) -> list[torch.Tensor]:
    return [*network.parameters(), *network.buffers()]


def _classes(network: nn.Module) -> list[type[Any]]:
    return [type(module) for module in network.modules()]


def _device(network: nn.Module) -> torch.device:
    return next((tensor.device for tensor in _tensors(network)), torch.device("cpu"))
