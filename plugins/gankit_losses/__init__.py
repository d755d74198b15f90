"""Adversarial losses, and regularizers: gradient penalties, consistency, LeCam, classification, perceptual loss."""

import gankit

from .classification import AuxiliaryClassifier, Contrastive, DataToData
from .consistency import Consistency
from .gradient_penalties import DRAGAN, R1, R2, GradientPenalty
from .hinge import Hinge
from .least_squares import LeastSquares
from .lecam import LeCam
from .logistic import BCE, NonSaturating, Relativistic, RelativisticAverage
from .perceptual import Perceptual
from .reconstruction import Reconstruction, TotalVariation
from .wasserstein import Wasserstein


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Register the losses and regularizers."""
    registries.losses.add("bce", BCE)
    registries.losses.add("non_saturating", NonSaturating)
    registries.losses.add("relativistic", Relativistic)
    registries.losses.add("relativistic_average", RelativisticAverage)
    registries.losses.add("lsgan", LeastSquares)
    registries.losses.add("hinge", Hinge)
    registries.losses.add("wasserstein", Wasserstein)
    registries.regularizers.add("r1", R1)
    registries.regularizers.add("r2", R2)
    registries.regularizers.add("gradient_penalty", GradientPenalty)
    registries.regularizers.add("dragan", DRAGAN)
    registries.regularizers.add("lecam", LeCam)
    registries.regularizers.add("consistency", Consistency)
    registries.regularizers.add("auxiliary_classifier", AuxiliaryClassifier)
    registries.regularizers.add("contrastive", Contrastive)
    registries.regularizers.add("d2d_ce", DataToData)
    registries.regularizers.add("reconstruction", Reconstruction)
    registries.regularizers.add("total_variation", TotalVariation)
    registries.regularizers.add("perceptual", Perceptual)
