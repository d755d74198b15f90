"""BigGAN (arXiv 1809.11096) for many sizes, with classes or without, and its orthogonal regularization."""

import gankit

from .networks import BigGANDiscriminator, BigGANGenerator
from .orthogonal import Orthogonal


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """The networks called ``biggan`` and the regularizer ``orthogonal``."""
    registries.generators.add("biggan", BigGANGenerator)
    registries.discriminators.add("biggan", BigGANDiscriminator)
    registries.regularizers.add("orthogonal", Orthogonal)
