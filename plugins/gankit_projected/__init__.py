"""Projected GAN (arXiv 2111.01007): D looks at images through a pretrained network; and FastGAN, the G it uses."""

import gankit

from .discriminator import ProjectedDiscriminator
from .fastgan import FastGANGenerator


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """The discriminator ``projected`` and the generator ``fastgan``."""
    registries.generators.add("fastgan", FastGANGenerator)
    registries.discriminators.add("projected", ProjectedDiscriminator)
