"""Pickled networks of R3GAN's authors."""

from __future__ import annotations

import itertools

import torch

import gankit

BASE = 4  # height and width of their smallest feature map
STAGES = "Model.MainLayers"


class R3GANPickle(gankit.WeightFormat):
    """R3GAN networks (``.pkl``) of github.com/brownvc/R3GAN."""

    license = (
        "The code of R3GAN is derived from NVIDIA's StyleGAN3, which is licensed for non-commercial use only; read the "
        "license of the weights before you use or publish them."
    )
    pickled_classes = ("training.networks.*", "R3GAN.*")

    def generator(self, network: gankit.ForeignNetwork) -> gankit.Conversion | None:
        if not network.has(f"{STAGES}.0.Layers.0.Basis"):
            return None
        count = number_of_stages(network)
        weights: gankit.Weights = {
            "basis": f"{STAGES}.0.Layers.0.Basis",
            "modulation.weight": f"{STAGES}.0.Layers.0.LinearLayer.weight",
            "colours.weight": "Model.AggregationLayer.Layer.weight",
        }
        for stage in range(count):
            weights |= residual_blocks(network, f"stages.{stage}", f"{STAGES}.{stage}.Layers", first=1)
            if network.has(linear := f"{STAGES}.{stage}.Layers.0.LinearLayer.Layer.weight"):
                weights[f"transitions.{stage - 1}.weight"] = linear
        channels = network.shape("Model.AggregationLayer.Layer.weight")[0]
        embedding_dim, classes = embedding(network, weights)
        params = stage_parameters(network, range(count), first=1)
        latent_dim = network.shape(f"{STAGES}.0.Layers.0.LinearLayer.weight")[1] - embedding_dim
        return conversion(network, params, count, channels, classes, weights, embedding_dim, latent_dim)

    def discriminator(self, network: gankit.ForeignNetwork) -> gankit.Conversion | None:
        if not network.has("Model.ExtractionLayer.Layer.weight"):
            return None
        count = number_of_stages(network)
        order = range(count)[::-1]  # theirs are numbered from the largest feature map down
        weights: gankit.Weights = {"colours.weight": "Model.ExtractionLayer.Layer.weight"}
        for stage, theirs in enumerate(order):
            path = f"{STAGES}.{theirs}.Layers"
            weights |= residual_blocks(network, f"stages.{stage}", path, first=0)
            last = f"{path}.{number_of_blocks(network, path, 0)}"
            if not stage:
                weights["basis"] = gankit.Converted(f"{last}.Basis.weight", lambda weight: weight[:, 0])
                weights["head.weight"] = f"{last}.LinearLayer.weight"
            elif network.has(linear := f"{last}.LinearLayer.Layer.weight"):
                weights[f"transitions.{stage - 1}.weight"] = linear
        embedding_dim, classes = embedding(network, weights)
        params = stage_parameters(network, order, first=0)
        channels = network.shape("Model.ExtractionLayer.Layer.weight")[1]
        return conversion(network, params, count, channels, classes, weights, embedding_dim)


def conversion(
    network: gankit.ForeignNetwork,
    params: dict[str, object],
    stages: int,
    channels: int,
    classes: int,
    weights: gankit.Weights,
    embedding_dim: int,
    latent_dim: int = 0,
) -> gankit.Conversion:
    """The conversion of a network with this number of stages."""
    size = BASE << (stages - 1)
    image = gankit.ImageSpec(size, size, channels, classes)
    if classes:
        params = params | {"embedding_dim": embedding_dim}
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    filters = {name: line[:, None] * line for name in network.tensors if name.endswith(".Resampler.Kernel")}
    return gankit.Conversion("r3gan", params, image, weights, latent_dim, filters)


def residual_blocks(network: gankit.ForeignNetwork, ours: str, theirs: str, first: int) -> gankit.Weights:
    """The weights of a stage's residual blocks; ``first`` is the number of the first one in their list of layers."""
    weights: gankit.Weights = {}
    for block in range(number_of_blocks(network, theirs, first)):
        for number, layer in enumerate(("expand", "mix", "project"), start=1):
            weights[f"{ours}.{block}.{layer}.weight"] = f"{theirs}.{first + block}.LinearLayer{number}.Layer.weight"
        for number, layer in enumerate(("expand", "mix"), start=1):
            weights[f"{ours}.{block}.{layer}.bias"] = f"{theirs}.{first + block}.NonLinearity{number}.Bias"
    return weights


def stage_parameters(network: gankit.ForeignNetwork, order: range, first: int) -> dict[str, object]:
    """The parameters that describe the stages, from the smallest feature map up.

    Raises:
        ValueError: stages are missing, or their convolutions differ in ways that gankit's network cannot.
    """
    paths = [f"{STAGES}.{stage}.Layers" for stage in order]
    shapes = [network.shape(f"{path}.{first}.LinearLayer2.Layer.weight") for path in paths]
    widths = [network.shape(f"{path}.{first}.LinearLayer3.Layer.weight")[0] for path in paths]
    group_sizes = {shape[1] for shape in shapes}
    if len(group_sizes) > 1:
        raise ValueError(f"its groups have {', '.join(map(str, sorted(group_sizes)))} channels; gankit has one size")
    in_full_precision = [network.attributes.get(f"{STAGES}.{stage}.DataType") is torch.float32 for stage in order]
    return {
        "width": widths,
        "blocks": [number_of_blocks(network, path, first) for path in paths],
        "expansion": shapes[0][0] // widths[0],
        "group_size": group_sizes.pop(),
        "full_precision_stages": len([*itertools.takewhile(bool, in_full_precision)]),
    }


def number_of_stages(network: gankit.ForeignNetwork) -> int:
    """Raises: ValueError: there are none."""
    numbers = {name.split(".")[2] for name in network.tensors if name.startswith(f"{STAGES}.")}
    if not numbers or numbers != {*map(str, range(len(numbers)))}:
        raise ValueError("its stages are not numbered from 0")
    return len(numbers)


def number_of_blocks(network: gankit.ForeignNetwork, path: str, first: int) -> int:
    """The number of residual blocks of a stage, of which ``first`` is the number of the first."""
    return network.count(f"{path}.*.LinearLayer1.Layer.weight", start=first)


def embedding(network: gankit.ForeignNetwork, weights: gankit.Weights) -> tuple[int, int]:
    """Add the embedding of the labels to ``weights``. Returns: its dimensions and the number of classes; 0 without."""
    name = "Model.EmbeddingLayer.weight"  # of a linear layer of the one-hot label
    if not network.has(name):
        return 0, 0
    weights["embedding.weight"] = gankit.Converted(name, lambda weight: weight.t())
    dimensions, classes = network.shape(name)
    return dimensions, classes
