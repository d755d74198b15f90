"""StyleGAN2 (arXiv 1912.04958) without custom CUDA kernels; the defaults are StyleGAN2-ADA's for CIFAR-10."""

import gankit

from .discriminator import StyleGAN2Discriminator
from .generator import StyleGAN2Generator
from .nvidia_format import NvidiaStyleGAN2
from .path_length import PathLength
from .rosinality_format import RosinalityStyleGAN2


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Register the networks ``stylegan2``, the regularizer ``path_length``, and formats of published weights."""
    registries.generators.add("stylegan2", StyleGAN2Generator)
    registries.discriminators.add("stylegan2", StyleGAN2Discriminator)
    registries.regularizers.add("path_length", PathLength)
    registries.weight_formats.add("nvidia_stylegan2", NvidiaStyleGAN2)
    registries.weight_formats.add("rosinality_stylegan2", RosinalityStyleGAN2)
