"""The residual networks of SNGAN (arXiv 1802.05957) and SAGAN (arXiv 1805.08318), with four discriminator heads."""

import gankit

from .discriminator import ResNetDiscriminator
from .generator import ResNetGenerator


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Register the generator and the discriminator ``resnet``."""
    registries.generators.add("resnet", ResNetGenerator)
    registries.discriminators.add("resnet", ResNetDiscriminator)
