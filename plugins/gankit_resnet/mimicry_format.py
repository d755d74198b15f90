"""Weight files of mimicry's SNGAN and cGAN-PD for 32x32 images."""

from __future__ import annotations

import math

import gankit

from .foreign_layers import channels_last

BLOCKS = (2, 3, 4)  # of G


class Mimicry(gankit.WeightFormat):
    """SNGAN, and projection cGAN, for 32x32 images (``netG_N_steps.pth`` and ``netD_N_steps.pth``) of mimicry.

    The repository is github.com/kwotsin/mimicry.
    """

    license = "mimicry is published under the MIT license."

    def generator(self, network: gankit.ForeignNetwork) -> gankit.Conversion | None:
        if not network.has("l1.weight", "block4.c_sc.weight", "c5.weight"):
            return None
        outputs, latent_dim = network.shape("l1.weight")
        channels = [network.shape(f"block{block}.c1.weight")[1] for block in BLOCKS]
        weights: gankit.Weights = channels_last(network, "linear", "l1", channels[0])
        for block in BLOCKS:
            theirs, ours = f"block{block}", f"blocks.{block - BLOCKS[0]}"
            for number in (1, 2):
                weights |= network.layer(f"{ours}.conv{number}", f"{theirs}.c{number}")
                weights |= batch_norm(network, f"{ours}.norm{number}", f"{theirs}.b{number}")
            weights |= network.layer(f"{ours}.shortcut", f"{theirs}.c_sc")
        weights |= network.layer("norm", "b5") | network.layer("to_image", "c5")
        size = math.isqrt(outputs // channels[0]) << len(BLOCKS)
        embedding = "block2.b1.embed.weight"
        classes = network.shape(embedding)[0] if network.has(embedding) else 0
        params = {
            "width": channels[0],
            "widths": "constant" if len({*channels}) == 1 else "pyramid",
            "upsampling": "bilinear",
        }
        image = gankit.ImageSpec(size, size, network.shape("c5.weight")[0], classes)
        return gankit.Conversion("resnet", params, image, weights, latent_dim)

    def discriminator(self, network: gankit.ForeignNetwork) -> gankit.Conversion | None:
        if not network.has("block4.c1.bias", "l5.bias"):
            return None
        if network.has("l5.sn_u"):
            raise ValueError("its last layers have mimicry's own spectral norm (sn_u), which gankit's resnet lacks")
        weights: gankit.Weights = network.layer("head.linear", "l5") | network.layer("head.embedding", "l_y")
        for block in range(network.count("block*.c1.bias", start=1)):
            theirs, ours = f"block{block + 1}", f"blocks.{block}"
            weights |= network.layer(f"{ours}.conv1", f"{theirs}.c1") | network.layer(f"{ours}.conv2", f"{theirs}.c2")
            weights |= network.layer(f"{ours}.shortcut", f"{theirs}.c_sc")
        classes = network.shape("l_y.weight")[0] if network.has("l_y.weight") else 0
        params = {
            "width": network.shape("block4.c2.bias")[0],
            "spectral_norm": "l5.weight_orig" in network.tensors,
            "rectified_shortcut": True,
        }
        return gankit.Conversion("resnet", params, gankit.ImageSpec(32, 32, 3, classes), weights)


def batch_norm(network: gankit.ForeignNetwork, ours: str, theirs: str) -> gankit.Weights:
    """The weights of a `BatchNorm`; with classes, one embedding [k 2c] has their scales and shifts."""
    embedding = f"{theirs}.embed.weight"
    if not network.has(embedding):
        return network.layer(ours, theirs)
    return network.layer(ours, f"{theirs}.bn") | {
        f"{ours}.scale.weight": gankit.Converted(embedding, lambda both: both.chunk(2, dim=1)[0]),
        f"{ours}.shift.weight": gankit.Converted(embedding, lambda both: both.chunk(2, dim=1)[1]),
    }
