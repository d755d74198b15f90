"""Figures of a step, off the device."""

from __future__ import annotations

import torch

import gankit


def as_floats(scalars: gankit.Scalars) -> dict[str, float]:
    """The figures as numbers, fetched from each device at once: a transfer for each would wait as often."""
    values: dict[str, float] = {}
    for device in {tensor.device for tensor in scalars.values()}:
        names = [name for name, tensor in scalars.items() if tensor.device == device]
        values.update(
            zip(names, torch.stack([scalars[name].detach().double() for name in names]).tolist(), strict=True)
        )
    return {name: float(values[name]) for name in scalars}
