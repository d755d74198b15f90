"""Augmentations of the discriminator's input, computed on the device and twice differentiable."""

import gankit

from .ada import ADA
from .apa import APA
from .diffaugment import DiffAugment
from .kornia_pipeline import Kornia


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Register ADA, DiffAugment and kornia's augmentations, and the game APA."""
    registries.augmentations.add("ada", ADA)
    registries.augmentations.add("diffaugment", DiffAugment)
    registries.augmentations.add("kornia", Kornia)
    registries.games.add("apa", APA)
