"""Optimizers from torch with validated parameters, and the latent distributions."""

import gankit

from .latents import NormalLatent, UniformLatent
from .optimizers import adam, adamw, rmsprop, sgd


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Register the optimizers and latents."""
    registries.optimizers.add("adam", adam)
    registries.optimizers.add("adamw", adamw)
    registries.optimizers.add("rmsprop", rmsprop)
    registries.optimizers.add("sgd", sgd)
    registries.latents.add("normal", NormalLatent)
    registries.latents.add("uniform", UniformLatent)
