"""Augmentation of all that the discriminator sees, on the device and differentiable twice."""

import gankit

from .ada import ADA
from .apa import APA
from .diffaugment import DiffAugment
from .kornia_pipeline import Kornia


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """ADA, DiffAugment, and kornia's augmentations by name; APA, a game."""
    registries.augmentations.add("ada", ADA)
    registries.augmentations.add("diffaugment", DiffAugment)
    registries.augmentations.add("kornia", Kornia)
    registries.games.add("apa", APA)
