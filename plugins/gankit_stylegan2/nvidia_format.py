"""Pickled networks of StyleGAN2-ADA, and of StyleGAN2 in the repository of StyleGAN3.

Both repositories compute the largest feature maps in fp16 on a GPU. Here all are computed in the precision of the run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

import gankit

from .layers import Blur

ARCHITECTURES = {"skip": "skip", "resnet": "residual", "orig": "original"}
LINEAR = ("affine", "embed", "out", "skip")  # their layers without an activation


class NvidiaStyleGAN2(gankit.WeightFormat):
    """StyleGAN2 networks (``.pkl``) of github.com/NVlabs/stylegan2-ada-pytorch and github.com/NVlabs/stylegan3."""

    license = (
        "NVIDIA publishes its weights for non-commercial use only (Nvidia Source Code License), which also holds for "
        "weights derived from them."
    )
    pickled_classes = ("training.*", "torch_utils.*")

    def generator(self, network: gankit.ForeignNetwork) -> gankit.Conversion | None:
        if any(name.startswith("synthesis.input.") for name in network.tensors):
            raise ValueError("the alias-free networks of StyleGAN3 are not supported; only its StyleGAN2 networks are")
        if not network.has("synthesis.b4.const", "mapping.fc0.weight"):
            return None
        require_activations(network.attributes)
        sizes = resolutions(network, r"synthesis\.b(\d+)\.conv1\.weight")
        architecture = architecture_of(network, "synthesis.b4.torgb.weight", "synthesis.b8.skip.weight")
        channels = [network.shape(f"synthesis.b{size}.conv1.weight")[0] for size in sizes]
        style_dim = network.shape("synthesis.b4.conv1.affine.weight")[1]
        classes = classes_of(network)
        weights: gankit.Weights = mapping_weights(network) | {
            "average": "mapping.w_avg",
            "synthesis.constant": gankit.Converted("synthesis.b4.const", lambda constant: constant[None]),
        }
        for level, size in enumerate(sizes):
            theirs, ours = f"synthesis.b{size}", f"synthesis.blocks.{level - 1}"
            weights |= styled(f"{ours}.conv" if level else "synthesis.first", f"{theirs}.conv1")
            if level:
                weights |= styled(f"{ours}.up", f"{theirs}.conv0", up=True)
            if level and architecture == "resnet":
                weights[f"{ours}.skip.0.conv.weight"] = f"{theirs}.skip.weight"
            if architecture == "skip" or size == sizes[-1]:
                index = level if architecture == "skip" else 0
                weights |= modulated(f"synthesis.to_image.{index}", f"{theirs}.torgb")
        params = {
            "width": channels[-1],
            "max_width": max(channels),
            "style_dim": style_dim,
            "mapping_layers": network.count("mapping.fc*.weight"),
            "mapping_learning_rate": network.attribute("mapping.fc0.bias_gain"),
            "architecture": ARCHITECTURES[architecture],
            "average_decay": network.attribute("mapping.w_avg_beta"),
            "clamp": clamp_of(network.attributes),
        }
        image = gankit.ImageSpec(sizes[-1], sizes[-1], network.shape(f"synthesis.b{sizes[-1]}.torgb.bias")[0], classes)
        latent_dim = network.shape("mapping.fc0.weight")[1] - (style_dim if classes else 0)
        return gankit.Conversion("stylegan2", params, image, weights, latent_dim, filters(network))

    def discriminator(self, network: gankit.ForeignNetwork) -> gankit.Conversion | None:
        if not network.has("b4.fc.weight", "b4.out.weight", "b8.conv1.weight"):
            return None
        require_activations(network.attributes)
        sizes = resolutions(network, r"b(\d+)\.conv0\.weight")
        architecture = architecture_of(network, "b4.fromrgb.weight", "b8.skip.weight")
        channels = [network.shape(f"b{size}.conv0.weight")[0] for size in sizes]
        classes = classes_of(network)
        weights: gankit.Weights = mapping_weights(network) if classes else {}
        for level, size in enumerate(reversed(sizes)):
            theirs, ours = f"b{size}", f"blocks.{level}"
            weights |= plain(f"{ours}.conv", f"{theirs}.conv0") | plain(f"{ours}.down", f"{theirs}.conv1")
            if architecture == "resnet":
                weights[f"{ours}.skip.conv.weight"] = f"{theirs}.skip.weight"
        with_image = (*reversed(sizes), 4) if architecture == "skip" else (sizes[-1],)
        for index, size in enumerate(with_image):
            weights |= plain(f"from_image.{index}", f"b{size}.fromrgb")
        weights |= plain("conv", "b4.conv") | linear("dense", "b4.fc") | linear("logit", "b4.out")
        params = {
            "width": channels[-1],
            "max_width": max(*channels, network.shape("b4.conv.bias")[0]),
            "architecture": ARCHITECTURES[architecture],
            "group_size": group_size(network.attributes),
            "clamp": clamp_of(network.attributes),
        }
        if classes:
            params["mapping_layers"] = network.count("mapping.fc*.weight")
            params["mapping_learning_rate"] = network.attribute("mapping.fc0.bias_gain")
        image_channels = network.shape(f"b{sizes[-1]}.fromrgb.weight")[1]
        image = gankit.ImageSpec(sizes[-1], sizes[-1], image_channels, classes)
        return gankit.Conversion("stylegan2", params, image, weights, constants=filters(network))


def styled(ours: str, theirs: str, up: bool = False) -> gankit.Weights:
    """The weights of a `StyledLayer`."""
    weights = modulated(ours, theirs, up)
    return weights | {
        f"{ours}.strength": f"{theirs}.noise_strength",
        f"{ours}.noise": gankit.Converted(f"{theirs}.noise_const", lambda noise: noise[None, None]),
    }


def modulated(ours: str, theirs: str, up: bool = False) -> gankit.Weights:
    """The weights of a `ModulatedConv` with a bias."""
    weight = f"{theirs}.weight"
    return linear(f"{ours}.conv.affine", f"{theirs}.affine") | {
        f"{ours}.conv.conv.weight": gankit.Converted(weight, inputs_first) if up else weight,
        f"{ours}.bias": f"{theirs}.bias",
    }


def plain(ours: str, theirs: str) -> gankit.Weights:
    """The weights of an `EqualizedConv`."""
    return {f"{ours}.conv.weight": f"{theirs}.weight", f"{ours}.bias": f"{theirs}.bias"}


def linear(ours: str, theirs: str) -> gankit.Weights:
    """The weights of an `EqualizedLinear`."""
    return {f"{ours}.{name}": f"{theirs}.{name}" for name in ("weight", "bias")}


def mapping_weights(network: gankit.ForeignNetwork) -> gankit.Weights:
    """The weights of a `Mapping`."""
    weights = linear("mapping.embedding", "mapping.embed") if classes_of(network) else {}
    for layer in range(network.count("mapping.fc*.weight")):
        weights |= linear(f"mapping.layers.{layer}", f"mapping.fc{layer}")
    return weights


def inputs_first(weight: Tensor) -> Tensor:
    """The weight [o c k k] of a convolution as that of a transposed convolution [c o k k]."""
    return weight.transpose(0, 1)


def resolutions(network: gankit.ForeignNetwork, pattern: str) -> list[int]:
    """The sizes of feature maps in the names of tensors, smallest first. Raises: ValueError: there are none."""
    found = (re.fullmatch(pattern, name) for name in network.tensors)
    sizes = sorted({int(match[1]) for match in found if match})
    if not sizes:
        raise ValueError("it has no feature maps")
    return sizes


def architecture_of(network: gankit.ForeignNetwork, of_skip: str, of_residual: str) -> str:
    """Their name of the architecture, from the names of two tensors that only one has."""
    return "skip" if network.has(of_skip) else "resnet" if network.has(of_residual) else "orig"


def classes_of(network: gankit.ForeignNetwork) -> int:
    """The number of classes; 0 without labels."""
    return network.shape("mapping.embed.weight")[1] if network.has("mapping.embed.weight") else 0


def filters(network: gankit.ForeignNetwork) -> dict[str, Tensor]:
    """Their low-pass filters, which must be [1, 3, 3, 1] / 8 along both axes."""
    expected = Blur(padding=1).filter
    return {name: expected for name in network.tensors if name.rpartition(".")[2] == "resample_filter"}


def require_activations(attributes: Mapping[str, Any]) -> None:
    """Raises: ValueError: a layer has another activation than those of StyleGAN2."""
    for path, value in attributes.items():
        layer, _, name = path.rpartition(".")
        expected = "linear" if layer.rpartition(".")[2] in LINEAR else "lrelu"
        if name == "activation" and value != expected:
            raise ValueError(f"{layer} has the activation {value!r}; gankit's stylegan2 has {expected!r} there")


def clamp_of(attributes: Mapping[str, Any]) -> float | None:
    """The bound of the outputs of all layers. Raises: ValueError: it differs between layers."""
    paths = [path.split(".") for path in attributes if path.endswith(".conv_clamp")]
    bounds = {attributes[".".join(path)] for path in paths if path[-2] != "skip" and path[-3:-1] != ["b4", "fromrgb"]}
    if len(bounds) > 1:
        raise ValueError(f"its layers have different values of conv_clamp: {', '.join(map(str, bounds))}")
    return next(iter(bounds), None)


def group_size(attributes: Mapping[str, Any]) -> int:
    """The size of the groups of the minibatch standard deviation. Raises: ValueError: it has several channels."""
    channels = attributes.get("b4.mbstd.num_channels", 0)
    if channels > 1:
        raise ValueError(f"its minibatch standard deviation has {channels} channels; gankit's stylegan2 has one")
    size = attributes.get("b4.mbstd.group_size")
    if not channels:
        return 0
    return 2**16 if size is None else size  # None is the whole batch
