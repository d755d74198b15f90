"""DCGAN (arXiv 1511.06434) as in the reference implementation, for many image sizes, with or without classes."""

import gankit

from .networks import DCGANDiscriminator, DCGANGenerator
from .weight_format import PyTorchExample


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Register the generator and the discriminator ``dcgan``, and their format of weights ``pytorch_dcgan``."""
    registries.generators.add("dcgan", DCGANGenerator)
    registries.discriminators.add("dcgan", DCGANDiscriminator)
    registries.weight_formats.add("pytorch_dcgan", PyTorchExample)
