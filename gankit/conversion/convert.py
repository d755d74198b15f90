"""Builds a network with the weights of a foreign one. Everything that does not fit is listed by name."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..assembly.build_limits import build_within
from ..errors import GankitError
from ..injection import constructor_arguments
from ..interfaces import Conversion, Converted, DataSpec, ForeignNetwork
from ..messages import listed, one_line
from ..registered_component import Selected
from ..runs.weights import set_weights
from ..training.network_copies import build_again


def convert(selected: Selected, conversion: Conversion, network: ForeignNetwork, where: str) -> nn.Module:
    """The network of a conversion, with its weights.

    Args:
        selected: the component of the conversion.
        conversion: of the network.
        network: of the file.
        where: the file and the network in messages.

    Raises:
        GankitError: the network cannot be built, or the weights do not fit.
    """
    data = DataSpec(image=conversion.image)
    storages = {storage.data_ptr(): storage for storage in map(Tensor.untyped_storage, network.tensors.values())}
    stored = sum(storage.nbytes() for storage in storages.values())
    try:
        built = build_again(
            lambda: build_within(lambda: selected.build(**constructor_arguments(data, conversion.latent_dim)), stored)
        )
    except (ValueError, MemoryError, RuntimeError, TypeError) as error:
        raise GankitError(f"{where}: {selected.entry.name} cannot be built: {one_line(error)}") from None
    own = built.state_dict()
    weights, faults = _converted(conversion, network, own)
    if faults:
        raise GankitError(f"{where}: does not fit {selected.entry.name}: {'; '.join(faults)}")
    set_weights(built, weights, where)
    return built


def _converted(
    conversion: Conversion, network: ForeignNetwork, own: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """The weights under our names, and everything that does not fit."""
    # PyTorch before 0.4.1 did not count batches, and only BatchNorm without a momentum reads the count
    weights = {name: tensor for name, tensor in own.items() if name.endswith(".num_batches_tracked")}
    shapes: list[str] = []
    sources = {name: _name_in_file(source) for name, source in conversion.weights.items()}
    for name, source in conversion.weights.items():
        theirs = sources[name]
        tensor = source if isinstance(source, Tensor) else network.tensors.get(theirs)
        if name not in own or tensor is None:
            continue
        try:
            weights[name] = source.function(tensor) if isinstance(source, Converted) else tensor
        except (RuntimeError, IndexError, ValueError) as error:
            shapes.append(f"{theirs} {[*tensor.shape]} ({one_line(error)[:100]})")
        else:
            if weights[name].shape != own[name].shape:
                shapes.append(f"{theirs} {[*weights[name].shape]} instead of {[*own[name].shape]}")
    used = {theirs for name, theirs in sources.items() if name in own} | {*conversion.constants}
    groups = {
        "missing": [
            sources.get(name, name) for name in own if name not in weights and sources.get(name) not in network.tensors
        ],
        "unexpected": [name for name in network.tensors if name not in used],
        "of another shape": shapes,
        "with other values": [
            name for name, value in conversion.constants.items() if not _equal(network.tensors.get(name), value)
        ],
    }
    return weights, [f"{len(names):,} {kind}: {listed(names)}" for kind, names in groups.items() if names]


def _name_in_file(source: str | Converted | Tensor) -> str:
    """The name of the tensor that a weight comes from; empty if it is the weight itself."""
    return source.name if isinstance(source, Converted) else source if isinstance(source, str) else ""


def _equal(given: Tensor | None, expected: Tensor) -> bool:
    return (
        given is not None
        and given.shape == expected.shape
        and torch.allclose(given.to(expected.dtype), expected, rtol=1e-4, atol=1e-6)
    )
