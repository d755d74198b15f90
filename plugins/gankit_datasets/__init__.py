"""Datasets of images, of pairs of images, and datasets that are made from others."""

from __future__ import annotations

import gankit

from .derived import Derived
from .image_folder import ImageFolder
from .mnist import MNIST, FashionMNIST
from .paired_folder import PairedFolder
from .shapes import Shapes
from .subset import Subset
from .unpaired import Unpaired
from .unpaired_folders import unpaired_folders


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Register the datasets."""
    registries.datasets.add("image_folder", ImageFolder)
    registries.datasets.add("mnist", MNIST)
    registries.datasets.add("fashion_mnist", FashionMNIST)
    registries.datasets.add("shapes", Shapes)
    registries.datasets.add("paired_folder", PairedFolder)
    registries.datasets.add("unpaired", Unpaired)
    registries.datasets.add("unpaired_folders", unpaired_folders)
    registries.datasets.add("derived", Derived)
    registries.datasets.add("subset", Subset)
