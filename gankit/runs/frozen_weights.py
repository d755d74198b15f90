"""The weights of frozen networks that sampling needs, stored once per run directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ..files import output_file, save_safetensors
from ..networks.frozen import Frozen
from .file_names import FROZEN
from .weights import read_weights

SEPARATOR = ":"  # between the name of a network and the name of its tensor


def save_frozen(directory: Path, networks: Mapping[str, Frozen]) -> None:
    """Write ``frozen.safetensors`` of a run directory, unless it exists. Raises: GankitError: it cannot be written."""
    path = directory / FROZEN
    if path.exists():  # of the run that is resumed, with the same networks
        return
    tensors = {
        f"{name}{SEPARATOR}{key}": tensor.clone()
        for name, network in networks.items()
        for key, tensor in network.weights().items()
    }
    with output_file(path) as temporary:
        save_safetensors(tensors, temporary)


def load_frozen(directory: Path) -> dict[str, dict[str, Tensor]]:
    """The weights of each network by name; empty without the file. Raises: CheckpointError: it cannot be read."""
    path = directory / FROZEN
    if not path.exists():
        return {}
    networks: dict[str, dict[str, Tensor]] = {}
    for name, tensor in read_weights(path).items():
        network, _, key = name.partition(SEPARATOR)
        networks.setdefault(network, {})[key] = tensor
    return networks
