"""Super-resolution: the networks of SRGAN, ESRGAN and Real-ESRGAN, and a dataset of degraded images."""

import gankit

from .degraded import Degraded
from .rrdbnet import RRDBNet
from .srresnet import SRResNet
from .unet_discriminator import UNetDiscriminator
from .vgg_discriminator import VGGDiscriminator


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Register the networks and the dataset."""
    registries.generators.add("srresnet", SRResNet)
    registries.generators.add("rrdbnet", RRDBNet)
    registries.discriminators.add("vgg_discriminator", VGGDiscriminator)
    registries.discriminators.add("unet_discriminator", UNetDiscriminator)
    registries.datasets.add("degraded", Degraded)
