"""Adversarial losses, and the gradient penalties that keep a discriminator smooth."""

import gankit

from .gradient_penalties import R1, R2, GradientPenalty
from .hinge import Hinge
from .least_squares import LeastSquares
from .logistic import BCE, NonSaturating, Relativistic
from .wasserstein import Wasserstein


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Six losses, three regularizers."""
    registries.losses.add("bce", BCE)
    registries.losses.add("non_saturating", NonSaturating)
    registries.losses.add("relativistic", Relativistic)
    registries.losses.add("lsgan", LeastSquares)
    registries.losses.add("hinge", Hinge)
    registries.losses.add("wasserstein", Wasserstein)
    registries.regularizers.add("r1", R1)
    registries.regularizers.add("r2", R2)
    registries.regularizers.add("gradient_penalty", GradientPenalty)
