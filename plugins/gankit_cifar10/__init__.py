"""CIFAR-10 as the data set `cifar10`."""

from __future__ import annotations

import gankit

from .dataset import CIFAR10


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Add the data set."""
    registries.datasets.add("cifar10", CIFAR10)
