"""Image-to-image translation: pix2pix (arXiv 1611.07004), CycleGAN (arXiv 1703.10593) and
CUT (arXiv 2007.15651)."""

import gankit

from .cycle import Cycle, Identity
from .cyclegan import CycleGAN
from .patch_nce import PatchNCE
from .patchgan import ConditionalPatchGAN, PatchGAN
from .resnet_translator import ResnetTranslator
from .two_directions import TwoPatchGANs, TwoTranslators
from .unet import UNet


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Register the components of the package."""
    registries.generators.add("unet", UNet)
    registries.generators.add("resnet_translator", ResnetTranslator)
    registries.generators.add("two_translators", TwoTranslators)
    registries.discriminators.add("patchgan", PatchGAN)
    registries.discriminators.add("conditional_patchgan", ConditionalPatchGAN)
    registries.discriminators.add("two_patchgans", TwoPatchGANs)
    registries.games.add("cyclegan", CycleGAN)
    registries.regularizers.add("cycle", Cycle)
    registries.regularizers.add("identity", Identity)
    registries.regularizers.add("patch_nce", PatchNCE)
