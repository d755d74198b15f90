"""Weight files of StudioGAN's BigGAN."""

from __future__ import annotations

import math

import gankit

BASE = 4  # height and width of its smallest feature map
ATTENTION = {"query": "conv1x1_theta", "key": "conv1x1_phi", "value": "conv1x1_g", "out": "conv1x1_attn"}


class StudioGANBigGAN(gankit.WeightFormat):
    """BigGAN (``model=G-*.pth``, ``model=G_ema-*.pth``, ``model=D-*.pth``) of StudioGAN: its backbone ``big_resnet``.

    The repository is github.com/POSTECH-CVLab/PyTorch-StudioGAN. With classes, D has the projection of the labels
    (``PD``).
    """

    license = "StudioGAN is published under the MIT license, except for its StyleGAN2 and StyleGAN3."

    def generator(self, network: gankit.ForeignNetwork) -> gankit.Conversion | None:
        gain = "blocks.0.0.bn1.gain.weight"
        if not network.has("linear0.bias", "bn4.running_mean", gain):
            return None
        classes, embedding_dim = network.shape("shared.weight") if network.has("shared.weight") else (0, 0)
        outputs, chunk = network.shape("linear0.weight")
        if network.shape(gain)[1] != chunk + embedding_dim:  # of the backbone resnet
            return None
        blocks, attention = places(network)
        first = network.shape("blocks.0.0.conv2d1.weight")[1]
        channels = [first, *(network.shape(f"{theirs}.conv2d2.bias")[0] for theirs in blocks)]
        size = math.isqrt(outputs // first)
        weights: gankit.Weights = network.layer("linear", "linear0") | network.layer("embedding", "shared")
        weights |= network.layer("norm", "bn4") | network.layer("out", "conv2d5")
        for block, theirs in enumerate(blocks):
            ours = f"blocks.{block}"
            weights |= convolutions(network, ours, theirs)
            for number in (1, 2):
                norm, their_norm = f"{ours}.norm{number}", f"{theirs}.bn{number}"
                weights |= network.layer(f"{norm}.norm", f"{their_norm}.bn")
                weights |= network.layer(f"{norm}.gain", f"{their_norm}.gain")
                weights |= network.layer(f"{norm}.bias", f"{their_norm}.bias")
        for block, theirs in attention.items():
            weights |= self_attention(network, f"attention.{block}", theirs)
        width = math.gcd(*channels)
        params = {
            "width": width,
            "multipliers": [count // width for count in channels],
            "attention": [size << (block + 1) for block in attention],
            "spectral_norm": "linear0.weight_orig" in network.tensors,
        }
        if classes:
            params["embedding_dim"] = embedding_dim
        side = size << len(blocks)
        image = gankit.ImageSpec(side, side, network.shape("conv2d5.bias")[0], classes)
        return gankit.Conversion("biggan", params, image, weights, chunk * (len(blocks) + 1))

    def discriminator(self, network: gankit.ForeignNetwork) -> gankit.Conversion | None:
        if not network.has("linear1.bias", "blocks.0.0.conv2d0.bias", "blocks.0.0.conv2d2.bias"):
            return None
        blocks, attention = places(network)
        channels = [network.shape(f"{theirs}.conv2d2.bias")[0] for theirs in blocks]
        side = BASE << (len(blocks) - 1)
        weights: gankit.Weights = network.layer("logit", "linear1") | network.layer("embedding", "embedding")
        for block, theirs in enumerate(blocks):
            weights |= convolutions(network, f"blocks.{block}", theirs)
        for block, theirs in attention.items():
            weights |= self_attention(network, f"attention.{block}", theirs)
        width = math.gcd(*channels)
        params = {
            "width": width,
            "multipliers": [count // width for count in channels],
            "attention": [side >> (block + 1) for block in attention],
            "rectified_shortcut": True,
        }
        classes = network.shape("embedding.weight")[0] if network.has("embedding.weight") else 0
        image = gankit.ImageSpec(side, side, network.shape("blocks.0.0.conv2d0.weight")[1], classes)
        return gankit.Conversion("biggan", params, image, weights)


def places(network: gankit.ForeignNetwork) -> tuple[list[str], dict[int, str]]:
    """The paths of their blocks, and of the self-attention layers that follow blocks, by the numbers of these.

    Raises:
        ValueError: self-attention comes before the first block, or there is no block.
    """
    blocks: list[str] = []
    attention: dict[int, str] = {}
    while True:
        path = f"blocks.{len(blocks) + len(attention)}.0"
        if network.has(f"{path}.conv2d1.weight"):
            blocks.append(path)
        elif network.has(f"{path}.conv1x1_theta.weight"):
            attention[len(blocks) - 1] = path
        else:
            break
    if not blocks or -1 in attention:
        raise ValueError("it does not begin with a block")
    return blocks, attention


def convolutions(network: gankit.ForeignNetwork, ours: str, theirs: str) -> gankit.Weights:
    """The weights of the convolutions of a residual block."""
    names = {"conv1": "conv2d1", "conv2": "conv2d2", "shortcut": "conv2d0"}
    return {
        name: source
        for own, other in names.items()
        for name, source in network.layer(f"{ours}.{own}", f"{theirs}.{other}").items()
    }


def self_attention(network: gankit.ForeignNetwork, ours: str, theirs: str) -> gankit.Weights:
    """The weights of a `SelfAttention`."""
    weights: gankit.Weights = {f"{ours}.share": gankit.Converted(f"{theirs}.sigma", lambda sigma: sigma.squeeze(0))}
    for own, other in ATTENTION.items():
        weights |= network.layer(f"{ours}.{own}", f"{theirs}.{other}")
    return weights
