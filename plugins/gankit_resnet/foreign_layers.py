"""Conversions of layers that several projects share."""

from __future__ import annotations

from torch import Tensor

import gankit


def channels_last(network: gankit.ForeignNetwork, ours: str, theirs: str, channels: int) -> gankit.Weights:
    """The weights of G's first layer, whose outputs are ordered as [c h w] in theirs and as [h w c] here."""

    def convert(tensor: Tensor) -> Tensor:
        pixels: Tensor = tensor.unflatten(0, (channels, -1)).transpose(0, 1)
        return pixels.flatten(0, 1)

    weights = network.layer(ours, theirs, convert)
    # a vector that spectral norm multiplies with the inputs
    return weights | {name: source for name, source in network.layer(ours, theirs).items() if name.endswith("._v")}
