"""The datasets `image_folder`, `mnist`, `fashion_mnist` and `shapes`."""

from __future__ import annotations

import gankit

from .image_folder import ImageFolder
from .mnist import MNIST, FashionMNIST
from .shapes import Shapes


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Register the datasets."""
    registries.datasets.add("image_folder", ImageFolder)
    registries.datasets.add("mnist", MNIST)
    registries.datasets.add("fashion_mnist", FashionMNIST)
    registries.datasets.add("shapes", Shapes)
