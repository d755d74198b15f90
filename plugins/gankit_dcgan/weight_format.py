"""Weight files of the DCGAN in PyTorch's examples."""

from __future__ import annotations

import gankit

SIZE = 64  # in pixels: the example has no other
PARTS = ("running_mean", "running_var", "num_batches_tracked", "weight", "bias")


class PyTorchExample(gankit.WeightFormat):
    """DCGAN of github.com/pytorch/examples (``netG_epoch_N.pth`` and ``netD_epoch_N.pth``)."""

    licence = "The code of PyTorch's examples is under the BSD 3-Clause license; it contains no weights."

    def generator(self, network: gankit.ForeignNetwork) -> gankit.Conversion | None:
        if not {"main.0.weight", "main.1.running_mean", "main.12.weight"} <= {*network.tensors}:
            return None
        latent_dim, _, *_ = network.shape("main.0.weight")
        width, channels, *_ = network.shape("main.12.weight")
        weights = {f"layers.{index}.weight": f"main.{index}.weight" for index in (0, 3, 6, 9, 12)}
        weights |= {f"layers.{index}.{part}": f"main.{index}.{part}" for index in (1, 4, 7, 10) for part in PARTS}
        image = gankit.ImageSpec(SIZE, SIZE, channels)
        return gankit.Conversion("dcgan", {"width": width}, image, weights, latent_dim)

    def discriminator(self, network: gankit.ForeignNetwork) -> gankit.Conversion | None:
        if not {"main.0.weight", "main.3.running_mean", "main.11.weight"} <= {*network.tensors}:
            return None
        width, channels, *_ = network.shape("main.0.weight")
        weights = {f"features.{index}.weight": f"main.{index}.weight" for index in (0, 2, 5, 8)}
        weights |= {f"features.{index}.{part}": f"main.{index}.{part}" for index in (3, 6, 9) for part in PARTS}
        weights["logit.weight"] = "main.11.weight"
        return gankit.Conversion("dcgan", {"width": width}, gankit.ImageSpec(SIZE, SIZE, channels), weights)
