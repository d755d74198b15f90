"""StyleGAN2 (arXiv 1912.04958) without custom CUDA kernels; the defaults are StyleGAN2-ADA's for CIFAR-10."""

import gankit

from .discriminator import StyleGAN2Discriminator
from .generator import StyleGAN2Generator
from .path_length import PathLength


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Register the generator and the discriminator ``stylegan2``, and the regularizer ``path_length``."""
    registries.generators.add("stylegan2", StyleGAN2Generator)
    registries.discriminators.add("stylegan2", StyleGAN2Discriminator)
    registries.regularizers.add("path_length", PathLength)
