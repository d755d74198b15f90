"""Weight files of rosinality's StyleGAN2."""

from __future__ import annotations

import torch
from torch import Tensor

import gankit

from .layers import Blur
from .mapping import Mapping
from .nvidia_format import inputs_first, linear

SMALLEST = 4  # height and width of the smallest feature map
LEARNING_RATE = 0.01  # of the mapping network; the files do not record it
SAMPLES = 4096  # of the average style, where a file lacks it
MAX_VALUES = 2**26  # of all latents
GROUP_SIZE = 4


class RosinalityStyleGAN2(gankit.WeightFormat):
    """StyleGAN2 networks (``.pt``) of github.com/rosinality/stylegan2-pytorch, trained by it or converted with it.

    If a file lacks ``latent_avg``, the average style is computed from 4,096 latents.
    """

    license = (
        "The code of rosinality's StyleGAN2 is under the MIT license, but weights that it has converted from NVIDIA's "
        "are for non-commercial use only (Nvidia Source Code License)."
    )

    def generator(self, network: gankit.ForeignNetwork) -> gankit.Conversion | None:
        if not network.has("input.input", "conv1.conv.weight", "style.1.weight"):
            return None
        doublings = network.count("to_rgbs.*.bias")
        layers = network.count("style.*.weight", start=1)
        style_dim, latent_dim = network.shape("style.1.weight")
        channels = [network.shape("conv1.conv.weight")[1]]
        channels += [network.shape(f"convs.{2 * level}.conv.weight")[1] for level in range(doublings)]
        weights: gankit.Weights = {"synthesis.constant": "input.input"}
        for layer in range(layers):
            weights |= linear(f"mapping.layers.{layer}", f"style.{layer + 1}")
        weights |= styled("synthesis.first", "conv1", 0) | to_image("synthesis.to_image.0", "to_rgb1")
        for level in range(doublings):
            weights |= styled(f"synthesis.blocks.{level}.up", f"convs.{2 * level}", 2 * level + 1, up=True)
            weights |= styled(f"synthesis.blocks.{level}.conv", f"convs.{2 * level + 1}", 2 * level + 2)
            weights |= to_image(f"synthesis.to_image.{level + 1}", f"to_rgbs.{level}")
        average = network.attributes.get("latent_avg")
        if isinstance(average, Tensor):
            weights["average"] = average.flatten()
        else:  # computed only for networks of an acceptable size
            weights["average"] = gankit.Converted("style.1.bias", lambda _: average_style(network, layers))
        params = {
            "width": channels[-1],
            "max_width": max(channels),
            "style_dim": style_dim,
            "mapping_layers": layers,
            "mapping_learning_rate": LEARNING_RATE,
        }
        size = SMALLEST << doublings
        image = gankit.ImageSpec(size, size, network.shape("to_rgb1.bias")[1])
        return gankit.Conversion("stylegan2", params, image, weights, latent_dim, filters(network, gain=4))

    def discriminator(self, network: gankit.ForeignNetwork) -> gankit.Conversion | None:
        if not network.has("convs.0.0.weight", "convs.1.conv1.0.weight", "final_linear.1.weight"):
            return None
        halvings = network.count("convs.*.conv1.0.weight", start=1)
        width, image_channels, *_ = network.shape("convs.0.0.weight")
        weights: gankit.Weights = activated("from_image.0", "convs.0.0", "convs.0.1")
        for block in range(halvings):
            theirs, ours = f"convs.{block + 1}", f"blocks.{block}"
            weights |= activated(f"{ours}.conv", f"{theirs}.conv1.0", f"{theirs}.conv1.1")
            weights |= activated(f"{ours}.down", f"{theirs}.conv2.1", f"{theirs}.conv2.2")
            weights[f"{ours}.skip.conv.weight"] = f"{theirs}.skip.1.weight"
        weights |= activated("conv", "final_conv.0", "final_conv.1")
        weights |= linear("dense", "final_linear.0") | linear("logit", "final_linear.1")
        params = {
            "width": width,
            "max_width": max(width, network.shape("final_conv.0.weight")[0]),
            "architecture": "residual",
            "group_size": GROUP_SIZE,
        }
        image = gankit.ImageSpec(SMALLEST << halvings, SMALLEST << halvings, image_channels)
        return gankit.Conversion("stylegan2", params, image, weights, constants=filters(network, gain=1))


def styled(ours: str, theirs: str, noise: int, up: bool = False) -> gankit.Weights:
    """The weights of a `StyledLayer`."""
    return modulated(ours, theirs, up) | {
        f"{ours}.strength": gankit.Converted(f"{theirs}.noise.weight", lambda weight: weight.squeeze(0)),
        f"{ours}.noise": f"noises.noise_{noise}",
        f"{ours}.bias": gankit.Converted(f"{theirs}.activate.bias", torch.flatten),
    }


def to_image(ours: str, theirs: str) -> gankit.Weights:
    """The weights of a `ToImage`."""
    return modulated(ours, theirs) | {f"{ours}.bias": gankit.Converted(f"{theirs}.bias", torch.flatten)}


def modulated(ours: str, theirs: str, up: bool = False) -> gankit.Weights:
    """The weights of a `ModulatedConv`; theirs [1 o c k k]."""

    def convert(weight: Tensor) -> Tensor:
        return inputs_first(weight[0]) if up else weight[0]

    return linear(f"{ours}.conv.affine", f"{theirs}.conv.modulation") | {
        f"{ours}.conv.conv.weight": gankit.Converted(f"{theirs}.conv.weight", convert)
    }


def activated(ours: str, convolution: str, activation: str) -> gankit.Weights:
    """The weights of an `EqualizedConv`."""
    bias = gankit.Converted(f"{activation}.bias", torch.flatten)
    return {f"{ours}.conv.weight": f"{convolution}.weight", f"{ours}.bias": bias}


def filters(network: gankit.ForeignNetwork, gain: int) -> dict[str, Tensor]:
    """Their low-pass filters, which must be [1, 3, 3, 1] / 8 along both axes, times ``gain``."""
    expected = gain * Blur(padding=1).filter
    return {name: expected for name in network.tensors if name.rpartition(".")[2] == "kernel"}


@torch.no_grad()
def average_style(network: gankit.ForeignNetwork, layers: int) -> Tensor:
    """The mean [s] of the styles of random latents."""
    style_dim, latent_dim = network.shape("style.1.weight")
    weights = {
        f"layers.{layer}.{part}": network.tensors[name]
        for layer in range(layers)
        for part in ("weight", "bias")
        if (name := f"style.{layer + 1}.{part}") in network.tensors
    }
    with torch.device("meta"):
        mapping = Mapping(latent_dim, 0, style_dim, layers, LEARNING_RATE)
    mapping.load_state_dict(weights, assign=True)
    samples = max(1, min(SAMPLES, MAX_VALUES // latent_dim))
    latents = torch.randn(samples, latent_dim, generator=torch.Generator().manual_seed(0))
    return mapping(latents).mean(dim=0)  # type: ignore[no-any-return]
