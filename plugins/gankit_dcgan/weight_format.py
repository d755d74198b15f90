"""Weight files of the DCGAN in PyTorch's examples."""

from __future__ import annotations

import gankit

SIZE = 64  # in pixels: the example has no other


class PyTorchExample(gankit.WeightFormat):
    """DCGAN of github.com/pytorch/examples (``netG_epoch_N.pth`` and ``netD_epoch_N.pth``)."""

    license = "The code of PyTorch's examples is under the BSD 3-Clause license; it contains no weights."

    def generator(self, network: gankit.ForeignNetwork) -> gankit.Conversion | None:
        if not network.has("main.0.weight", "main.1.running_mean", "main.12.weight"):
            return None
        latent_dim, _, *_ = network.shape("main.0.weight")
        width, channels, *_ = network.shape("main.12.weight")
        weights = network.layer("layers", "main")
        image = gankit.ImageSpec(SIZE, SIZE, channels)
        return gankit.Conversion("dcgan", {"width": width}, image, weights, latent_dim)

    def discriminator(self, network: gankit.ForeignNetwork) -> gankit.Conversion | None:
        if not network.has("main.0.weight", "main.3.running_mean", "main.11.weight"):
            return None
        width, channels, *_ = network.shape("main.0.weight")
        weights = network.layer("features", "main")
        weights["logit.weight"] = weights.pop("features.11.weight")
        return gankit.Conversion("dcgan", {"width": width}, gankit.ImageSpec(SIZE, SIZE, channels), weights)
