"""The residual networks of SNGAN (arXiv 1802.05957) and SAGAN (arXiv 1805.08318), with four discriminator heads."""

import gankit

from .discriminator import ResNetDiscriminator
from .generator import ResNetGenerator
from .mimicry_format import Mimicry
from .studiogan_format import StudioGANResNet


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Register the generator and the discriminator ``resnet``, and formats of published weights."""
    registries.generators.add("resnet", ResNetGenerator)
    registries.discriminators.add("resnet", ResNetDiscriminator)
    registries.weight_formats.add("mimicry", Mimicry)
    registries.weight_formats.add("studiogan_resnet", StudioGANResNet)
