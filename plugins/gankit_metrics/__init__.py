"""Metrics of generated images, and the feature extractors that they use.

Their libraries are installed by ``pip install 'gankit[metrics]'`` and imported when a component is built.
"""

import gankit

from .clip import CLIP
from .cmmd import CMMD
from .dinov2 import DINOv2
from .effnet import EffNetLite0
from .frechet_distance import FrechetDistance
from .inception import Inception
from .inception_score import InceptionScore
from .kernel_distance import KernelDistance
from .memorization import Memorization
from .perceptual_distance import PerceptualDistance
from .pixels import Pixels
from .prdc import PRDC
from .psnr import PSNR
from .ssim import SSIM


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Register the metrics and feature extractors."""
    registries.metrics.add("fd", FrechetDistance)
    registries.metrics.add("kid", KernelDistance)
    registries.metrics.add("cmmd", CMMD)
    registries.metrics.add("inception_score", InceptionScore)
    registries.metrics.add("prdc", PRDC)
    registries.metrics.add("memorization", Memorization)
    registries.metrics.add("psnr", PSNR)
    registries.metrics.add("ssim", SSIM)
    registries.metrics.add("perceptual_distance", PerceptualDistance)
    registries.features.add("clip", CLIP)
    registries.features.add("dinov2", DINOv2)
    registries.features.add("effnet_lite0", EffNetLite0)
    registries.features.add("inception", Inception)
    registries.features.add("pixels", Pixels)
