"""A network's weights as a safetensors file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import CheckpointError
from ..messages import one_line

TIED = "tied:"  # in the file's metadata: this name shares the tensor of that one


def save_weights(network: nn.Module, file: Path) -> None:
    """Write the state dict, tied tensors once. Raises: CheckpointError: it holds other things than tensors."""
    tensors: dict[str, Tensor] = {}
    tied: dict[str, str] = {}
    first: dict[tuple[Any, ...], str] = {}
    for name, tensor in network.state_dict().items():
        if not isinstance(tensor, Tensor):
            raise CheckpointError(f"{file.stem}: '{name}' in its state dict is a {type(tensor).__name__}, not a tensor")
        storage = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype) if tensor.numel() else name
        kept = first.setdefault((storage,), name)
        if kept == name:
            # copied: other layouts, and tensors that share memory in part, have no place in the format
            tensors[name] = tensor.detach().to("cpu", memory_format=torch.contiguous_format, copy=True)
        else:
            tied[TIED + name] = kept
    save_file(tensors, file, metadata=tied)


def load_weights(network: nn.Module, file: Path) -> None:
    """Copy the weights in ``file`` into the network. Raises: CheckpointError: they are not its own."""
    try:
        with safe_open(file, framework="pt") as weights:
            tensors = {key: weights.get_tensor(key) for key in weights.keys()}  # noqa: SIM118  # no mapping
            metadata = weights.metadata() or {}
        for tied, kept in metadata.items():
            if tied.startswith(TIED):
                tensors[tied.removeprefix(TIED)] = tensors[kept]
        network.load_state_dict(tensors)
    except (SafetensorError, RuntimeError, ValueError, TypeError, KeyError, OSError) as error:
        raise CheckpointError(f"{file}: does not fit this network: {one_line(error)[:400]}") from None
