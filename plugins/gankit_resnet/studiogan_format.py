"""Weight files of StudioGAN's residual networks."""

from __future__ import annotations

import math

import gankit

from .foreign_layers import channels_last

EPSILON = 1e-4  # of its BatchNorm
BASE = 4  # height and width of its smallest feature map


class StudioGANResNet(gankit.WeightFormat):
    """SNGAN (``model=G-*.pth``, ``model=D-*.pth``) of StudioGAN: its backbone ``resnet``, with or without classes.

    The repository is github.com/POSTECH-CVLab/PyTorch-StudioGAN. With classes, G has class-conditional BatchNorm
    (``cBN``) and D the projection of the labels (``PD``).
    """

    license = "StudioGAN is published under the MIT license, except for its StyleGAN2 and StyleGAN3."

    def generator(self, network: gankit.ForeignNetwork) -> gankit.Conversion | None:
        if not network.has("linear0.bias", "bn4.running_mean", "blocks.0.0.conv2d2.bias") or is_biggan(network):
            return None
        if "blocks.0.0.bn1.gain.weight_orig" in network.tensors:
            raise ValueError(
                "its class-conditional BatchNorm has spectral norm (apply_g_sn), which gankit's resnet lacks"
            )
        count = network.count("blocks.*.0.conv2d1.bias")
        channels = [network.shape(f"blocks.{block}.0.conv2d2.bias")[0] for block in range(count)]
        outputs, first = network.shape("linear0.bias")[0], network.shape("blocks.0.0.conv2d1.weight")[1]
        weights = channels_last(network, "linear", "linear0", first)
        for block in range(count):
            theirs, ours = f"blocks.{block}.0", f"blocks.{block}"
            for number in (1, 2):
                weights |= network.layer(f"{ours}.conv{number}", f"{theirs}.conv2d{number}")
                weights |= batch_norm(network, f"{ours}.norm{number}", f"{theirs}.bn{number}")
            weights |= network.layer(f"{ours}.shortcut", f"{theirs}.conv2d0")
        weights |= network.layer("norm", "bn4") | network.layer("to_image", "conv2d5")
        gain = "blocks.0.0.bn1.gain.weight"
        params = {
            "width": first,
            "widths": "constant" if {first, *channels} == {first} else "pyramid",
            "spectral_norm": "linear0.weight_orig" in network.tensors,
            "batch_norm_epsilon": EPSILON,
        }
        size = math.isqrt(outputs // first) << count
        classes = network.shape(gain)[1] if network.has(gain) else 0
        image = gankit.ImageSpec(size, size, network.shape("conv2d5.bias")[0], classes)
        return gankit.Conversion("resnet", params, image, weights, network.shape("linear0.weight")[1])

    def discriminator(self, network: gankit.ForeignNetwork) -> gankit.Conversion | None:
        if not network.has("linear1.bias", "blocks.0.0.conv2d0.bias", "blocks.0.0.conv2d2.bias"):
            return None
        count = network.count("blocks.*.0.conv2d1.bias")
        channels = [network.shape(f"blocks.{block}.0.conv2d2.bias")[0] for block in range(count)]
        weights: gankit.Weights = network.layer("head.linear", "linear1") | network.layer("head.embedding", "embedding")
        for block in range(count):
            theirs, ours = f"blocks.{block}.0", f"blocks.{block}"
            for number in (1, 2):
                weights |= network.layer(f"{ours}.conv{number}", f"{theirs}.conv2d{number}")
            weights |= network.layer(f"{ours}.shortcut", f"{theirs}.conv2d0")
        params = {
            "width": channels[-1],
            "widths": "constant" if len({*channels}) == 1 else "pyramid",
            "spectral_norm": "linear1.weight_orig" in network.tensors,
            "rectified_shortcut": True,
        }
        size = BASE << (count - 1)
        image_channels = network.shape("blocks.0.0.conv2d0.weight")[1]
        classes = network.shape("embedding.weight")[0] if network.has("embedding.weight") else 0
        return gankit.Conversion("resnet", params, gankit.ImageSpec(size, size, image_channels, classes), weights)


def is_biggan(network: gankit.ForeignNetwork) -> bool:
    """Whether a generator is of the backbone ``big_resnet``: its BatchNorm depends on chunks of the latent."""
    gain = "blocks.0.0.bn1.gain.weight"
    if not network.has(gain):
        return False
    return network.has("shared.weight") or network.shape(gain)[1] == network.shape("linear0.weight")[1]


def batch_norm(network: gankit.ForeignNetwork, ours: str, theirs: str) -> gankit.Weights:
    """The weights of a `BatchNorm`. With classes, linear layers of the one-hot label give gain - 1 and bias."""
    if not network.has(f"{theirs}.gain.weight"):
        return network.layer(ours, theirs)
    return network.layer(ours, f"{theirs}.bn") | {
        f"{ours}.scale.weight": gankit.Converted(f"{theirs}.gain.weight", lambda gain: 1 + gain.t()),
        f"{ours}.shift.weight": gankit.Converted(f"{theirs}.bias.weight", lambda bias: bias.t()),
    }
