"""DCGAN (arXiv 1511.06434) in the form of the reference implementation, for many sizes, with optional classes."""

import gankit

from .networks import DCGANDiscriminator, DCGANGenerator


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """The networks called ``dcgan``."""
    registries.generators.add("dcgan", DCGANGenerator)
    registries.discriminators.add("dcgan", DCGANDiscriminator)
