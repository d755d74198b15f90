"""Transfer of a step's scalars from their devices."""

from __future__ import annotations

import torch

from ..interfaces import Scalars


def scalars_to_floats(scalars: Scalars) -> dict[str, float]:
    """The scalars as Python floats, with one transfer per device; single transfers would wait for the device each."""
    values: dict[str, float] = {}
    for device in {tensor.device for tensor in scalars.values()}:
        names = [name for name, tensor in scalars.items() if tensor.device == device]
        dtype = torch.float32 if device.type == "mps" else torch.float64  # MPS has no fp64
        numbers = torch.stack([scalars[name].detach().to(dtype) for name in names]).tolist()
        values.update(zip(names, numbers, strict=True))
    return {name: float(values[name]) for name in scalars}
