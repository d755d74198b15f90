"""Files of weights: writing those of a generator, and loading them into a network that their metadata describes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from torch import nn

from ..assembly.load_generator import build_network
from ..errors import GankitError
from ..files import writing
from ..interfaces import DataSpec
from ..networks.frozen import frozen_networks
from ..registry import Registries
from ..runs.weights import load_weights, save_weights
from ..sampling.trained_generator import TrainedGenerator
from .metadata import read


def write_safetensors(generator: TrainedGenerator, metadata: Mapping[str, str], path: Path) -> None:
    """Write the weights, with the metadata of the file.

    Raises:
        GankitError: G cannot generate images with its own weights alone, or the file cannot be written.
    """
    if frozen_networks({"generator": generator.module}) or generator.sampling.codec is not None:
        raise GankitError(
            f"{generator.checkpoint}: --format safetensors stores the weights of the generator alone, which needs its "
            "codec or frozen networks as well; use torch-export or onnx"
        )
    with writing(path):
        save_weights(generator.module, path, metadata)


def load_safetensors(path: Path, registries: Registries, data: DataSpec) -> nn.Module:
    """The network that the metadata of a file describe, with its weights, in eval mode.

    Args:
        path: the file.
        registries: with the component.
        data: of the run.
    """
    with safe_open(path, framework="pt") as file:
        manifest = read(file.metadata())
    network = build_network(registries, manifest, data, max_bytes=path.stat().st_size)
    load_weights(network, path)
    return network.eval().requires_grad_(False)
