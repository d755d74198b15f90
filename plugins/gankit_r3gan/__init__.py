"""R3GAN (arXiv 2501.05441) for many image sizes, with or without classes."""

import gankit

from .networks import R3GANDiscriminator, R3GANGenerator


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Register the generator and the discriminator ``r3gan``."""
    registries.generators.add("r3gan", R3GANGenerator)
    registries.discriminators.add("r3gan", R3GANDiscriminator)
