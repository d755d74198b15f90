"""Torch's optimizers with checked parameters, and the distributions that latents are drawn from."""

import gankit

from .latents import NormalLatent, UniformLatent
from .optimizers import adam, adamw, rmsprop, sgd


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Optimizers and latents."""
    registries.optimizers.add("adam", adam)
    registries.optimizers.add("adamw", adamw)
    registries.optimizers.add("rmsprop", rmsprop)
    registries.optimizers.add("sgd", sgd)
    registries.latents.add("normal", NormalLatent)
    registries.latents.add("uniform", UniformLatent)
