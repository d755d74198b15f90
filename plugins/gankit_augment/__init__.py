"""Augmentation of all that the discriminator sees, on the device and differentiable twice."""

import gankit

from .diffaugment import DiffAugment
from .kornia_pipeline import Kornia


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """DiffAugment, and kornia's augmentations by name."""
    registries.augmentations.add("diffaugment", DiffAugment)
    registries.augmentations.add("kornia", Kornia)
