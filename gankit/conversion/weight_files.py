"""The networks in a weight file of another project: in a pickle, or in a file of `torch.save`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError, GankitError
from ..files import open_regular, read_failure
from ..interfaces import ForeignNetwork
from ..messages import one_line
from ..runs.plain_data import load_plain_data
from .inert_pickle import PickledModule, PickledParameter, PickledTensor, unpickle

MAX_NAMES = 100_000  # of the tensors and attributes of a network
MAX_DEPTH = 100  # of modules in modules
TORCH_ZIP, TORCH_LEGACY, PICKLE = b"PK\x03\x04", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", b"\x80"
PREFIXES = ("module.", "_orig_mod.")
STATE_DICTS = ("state_dict", "model_state_dict")  # the entries of files with one network


def read_networks(path: Path, classes: tuple[str, ...]) -> dict[str, ForeignNetwork]:
    """The networks in a file, by their keys in it. The only network of a file has the key ``""``.

    Args:
        path: of the file.
        classes: patterns of the names of classes in pickles that are read as data.

    Raises:
        GankitError: the file cannot be read, is damaged, or names something that is not data.
    """
    try:
        with open_regular(path) as file:
            start = file.read(len(TORCH_LEGACY))
            content = start + file.read() if _is_pickle(start) else b""
    except OSError as error:
        raise GankitError(read_failure(path, error)) from None
    try:
        if content:
            networks = _pickled(unpickle(content, classes))
        elif start.startswith((TORCH_ZIP, TORCH_LEGACY)):
            networks = _state_dicts(load_plain_data(path, {"argparse.Namespace": argparse.Namespace}))
        else:
            raise GankitError("is neither a pickle nor a file of torch.save")
        names = [*networks, *(name for network in networks.values() for name in network.tensors)]
        if not all(name.isprintable() for name in names):
            raise GankitError("has a tensor whose name is not printable")
        return networks
    except CheckpointError:
        raise  # names the file
    except (GankitError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise GankitError(f"{path}: {one_line(error)}") from None


def _is_pickle(start: bytes) -> bool:
    return start.startswith(PICKLE) and start != TORCH_LEGACY


def _state_dicts(value: Any) -> dict[str, ForeignNetwork]:
    """The networks of a file of `torch.save`: a state dict, or a mapping that contains some."""
    if not isinstance(value, Mapping):
        raise GankitError(f"holds a {type(value).__name__}; expected the weights of networks by name")
    if _is_state_dict(value):
        return {"": ForeignNetwork(_without_prefix(value))}
    found = {str(key): entry for key, entry in value.items() if _is_state_dict(entry)}
    others = {str(key): entry for key, entry in value.items() if str(key) not in found}
    return {
        "" if key in STATE_DICTS else key: ForeignNetwork(_without_prefix(entry), others)
        for key, entry in found.items()
    }


def _is_state_dict(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) > 1
        and all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items())
    )


def _without_prefix(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights without the prefixes that `torch.nn.DataParallel` and `torch.compile` add to all names."""
    names = [*weights]
    while prefix := next((prefix for prefix in PREFIXES if all(name.startswith(prefix) for name in names)), ""):
        names = [name.removeprefix(prefix) for name in names]
    return dict(zip(names, weights.values(), strict=True))


def _pickled(value: Any) -> dict[str, ForeignNetwork]:
    """The networks of a pickle: a module, or a mapping that contains some."""
    entries = value if isinstance(value, Mapping) else {"": value}
    return {str(key): _flat(module) for key, module in entries.items() if isinstance(module, PickledModule)}


def _flat(module: PickledModule) -> ForeignNetwork:
    """The tensors and attributes of a module and of those in it, by their dotted paths."""
    tensors: dict[str, Tensor] = {}
    attributes: dict[str, Any] = {}
    for prefix, part in _modules(module):
        for kind in ("_parameters", "_buffers"):
            for name, tensor in _entries(part, kind).items():
                if isinstance(tensor, (PickledTensor, PickledParameter)):
                    tensors[f"{prefix}{name}"] = tensor.tensor()
        plain = {name: value for name, value in part.state.items() if _is_plain(value)}
        attributes |= {f"{prefix}{name}": value for name, value in plain.items()}
        if len(tensors) + len(attributes) > MAX_NAMES:
            raise GankitError(f"has a network with more than {MAX_NAMES:,} tensors and attributes")
    return ForeignNetwork(tensors, attributes)


def _modules(module: PickledModule) -> Iterator[tuple[str, PickledModule]]:
    """A module and those in it, with the prefixes of the names in them."""
    pending, count = [("", 0, module)], 0
    while pending:
        prefix, depth, part = pending.pop()
        count += 1
        if not isinstance(part.state, Mapping):
            raise GankitError("has a network with a module that is not described")
        if depth > MAX_DEPTH or count > MAX_NAMES:
            raise GankitError(f"has a network with more than {MAX_DEPTH} levels or {MAX_NAMES:,} modules")
        yield prefix, part
        inside = _entries(part, "_modules").items()
        pending += [(f"{prefix}{name}.", depth + 1, m) for name, m in inside if isinstance(m, PickledModule)]


def _entries(module: PickledModule, kind: str) -> Mapping[str, Any]:
    found = module.state.get(kind, {})
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        raise GankitError(f"has a network whose {kind} are not a mapping by name")
    return found


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str, torch.dtype))
