"""BigGAN (arXiv 1809.11096) for many image sizes, with or without classes, and its orthogonal regularization."""

import gankit

from .networks import BigGANDiscriminator, BigGANGenerator
from .orthogonal_regularization import Orthogonal
from .weight_format import StudioGANBigGAN


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Register the generator and the discriminator ``biggan``, the regularizer ``orthogonal``, and a format."""
    registries.generators.add("biggan", BigGANGenerator)
    registries.discriminators.add("biggan", BigGANDiscriminator)
    registries.regularizers.add("orthogonal", Orthogonal)
    registries.weight_formats.add("studiogan_biggan", StudioGANBigGAN)
