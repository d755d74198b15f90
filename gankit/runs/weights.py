"""Writes and reads the weights of a network as a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..errors import CheckpointError
from ..files import read_failure, save_safetensors
from ..messages import one_line


class MisfitError(CheckpointError):
    """Saved weights that belong to another network."""


TIED = "tied:"  # metadata ``tied:NAME`` is the name under which the tensor that NAME shares is stored


def save_weights(network: nn.Module, file: Path, about: Mapping[str, str] | None = None) -> None:
    """Write the state dict. Tied tensors are stored once.

    Args:
        network: whose weights are written.
        file: to write.
        about: further entries of the file's metadata.

    Raises:
        CheckpointError: the state dict holds values that are not tensors.
    """
    tensors: dict[str, Tensor] = {}
    tied: dict[str, str] = {}
    stored: dict[object, str] = {}
    for name, tensor in network.state_dict().items():
        if not isinstance(tensor, Tensor):
            raise CheckpointError(f"{file.stem}: '{name}' in its state dict is a {type(tensor).__name__}, not a tensor")
        memory = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype) if tensor.numel() else name
        if (stored_as := stored.setdefault(memory, name)) != name:
            tied[TIED + name] = stored_as
        else:  # copied, as the format has neither memory layouts nor tensors that overlap
            tensors[name] = tensor.detach().to("cpu", memory_format=torch.contiguous_format, copy=True)
    save_safetensors(tensors, file, metadata={**(about or {}), **tied})


def read_weights(file: Path) -> dict[str, Tensor]:
    """The weights in a file by name. Raises: CheckpointError: the file cannot be read."""
    try:
        with safe_open(file, framework="pt") as weights:
            tensors = {name: weights.get_tensor(name) for name in weights.keys()}  # noqa: SIM118  # not a mapping
            metadata = weights.metadata() or {}
        tied = {key.removeprefix(TIED): tensors[stored] for key, stored in metadata.items() if key.startswith(TIED)}
    except OSError as error:
        raise CheckpointError(read_failure(file, error)) from None
    except (SafetensorError, RuntimeError, ValueError, TypeError, KeyError) as error:
        raise MisfitError(f"{file}: does not fit this network: {one_line(error)[:400]}") from None
    return tensors | tied


def load_weights(network: nn.Module, file: Path) -> None:
    """Copy the weights in a file into the network. On the meta device, the loaded tensors replace the network's.

    Raises:
        CheckpointError: the file cannot be read or does not fit.
    """
    set_weights(network, read_weights(file), str(file))


def set_weights(network: nn.Module, weights: Mapping[str, Any], source: str) -> None:
    """Copy all weights of a network from ``weights``, which a network on the meta device takes over.

    Args:
        network: with exactly these weights.
        weights: its state dict.
        source: of the weights, for the message.

    Raises:
        MisfitError: they do not fit.
        NotImplementedError: the network is on the meta device, and its loading reads values.
    """
    on_meta = any(tensor.is_meta for tensor in network.parameters())
    try:
        network.load_state_dict(weights, assign=on_meta)
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        if on_meta and isinstance(error, NotImplementedError):
            raise
        raise MisfitError(f"{source}: does not fit this network: {one_line(error)[:400]}") from None
