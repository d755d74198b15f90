"""R3GAN, a modern baseline without tricks (arXiv 2501.05441), for many sizes, with optional classes."""

import gankit

from .networks import R3GANDiscriminator, R3GANGenerator


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """The networks called ``r3gan``."""
    registries.generators.add("r3gan", R3GANGenerator)
    registries.discriminators.add("r3gan", R3GANDiscriminator)
