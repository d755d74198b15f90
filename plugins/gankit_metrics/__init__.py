"""Scores of generated images, and the networks that look at images for them.

Their libraries come with ``pip install 'gankit[metrics]'`` and are imported when a component is built.
"""

import gankit

from .effnet import EffNetLite0
from .frechet_distance import FrechetDistance
from .inception import Inception
from .inception_score import InceptionScore
from .kernel_distance import KernelDistance
from .prdc import PRDC


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Four metrics, two extractors of features."""
    registries.metrics.add("fd", FrechetDistance)
    registries.metrics.add("kid", KernelDistance)
    registries.metrics.add("inception_score", InceptionScore)
    registries.metrics.add("prdc", PRDC)
    registries.features.add("effnet_lite0", EffNetLite0)
    registries.features.add("inception", Inception)
