"""StyleGAN2 (arXiv 1912.04958), by default as StyleGAN2-ADA is for CIFAR-10 (arXiv 2006.06676); no custom CUDA."""

import gankit

from .discriminator import StyleGAN2Discriminator
from .generator import StyleGAN2Generator
from .path_length import PathLength


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """The networks called ``stylegan2``, and the regularizer ``path_length``."""
    registries.generators.add("stylegan2", StyleGAN2Generator)
    registries.discriminators.add("stylegan2", StyleGAN2Discriminator)
    registries.regularizers.add("path_length", PathLength)
