"""Projected GAN (arXiv 2111.01007), whose D uses pretrained features, and its generator FastGAN."""

import gankit

from .discriminator import ProjectedDiscriminator
from .fastgan import FastGANGenerator


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Register the generator ``fastgan`` and the discriminator ``projected``."""
    registries.generators.add("fastgan", FastGANGenerator)
    registries.discriminators.add("projected", ProjectedDiscriminator)
