"""DCGAN (arXiv 1511.06434) as in the reference implementation, for many image sizes, with or without classes."""

import gankit

from .networks import DCGANDiscriminator, DCGANGenerator


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Register the generator and the discriminator ``dcgan``."""
    registries.generators.add("dcgan", DCGANGenerator)
    registries.discriminators.add("dcgan", DCGANDiscriminator)
