"""R3GAN (arXiv 2501.05441) for many image sizes, with or without classes."""

import gankit

from .networks import R3GANDiscriminator, R3GANGenerator
from .weight_format import R3GANPickle


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Register the generator and the discriminator ``r3gan``, and their format of weights."""
    registries.generators.add("r3gan", R3GANGenerator)
    registries.discriminators.add("r3gan", R3GANDiscriminator)
    registries.weight_formats.add("r3gan", R3GANPickle)
