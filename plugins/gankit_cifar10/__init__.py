"""The dataset `cifar10`."""

from __future__ import annotations

import gankit

from .dataset import CIFAR10


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Register the dataset."""
    registries.datasets.add("cifar10", CIFAR10)
