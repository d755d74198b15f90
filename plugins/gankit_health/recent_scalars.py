"""Losses and logits of the last steps, copied from the device only when they are read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

import gankit

NAMES = ("discriminator_loss", "generator_loss", "real_logits", "fake_logits")


class RecentScalars:
    """The last ``length`` values of each of `NAMES`.

    `add` only appends tensors to lists: it computes nothing and does not wait for the device.
    """

    def __init__(self, length: int) -> None:
        self._read: dict[str, deque[float]] = {name: deque(maxlen=length) for name in NAMES}
        self._unread: dict[str, deque[Tensor]] = {name: deque(maxlen=length) for name in NAMES}

    def add(self, scalars: gankit.Scalars) -> None:
        """Store the step's values; names that the step did not report are skipped."""
        for name in NAMES:
            if name in scalars:
                self._unread[name].append(scalars[name])

    def values(self) -> Mapping[str, Sequence[float]]:
        """The values by name, oldest first; waits for the device."""
        floats = iter(to_floats([tensor for name in NAMES for tensor in self._unread[name]]))
        for name in NAMES:
            self._read[name].extend(next(floats) for _ in range(len(self._unread[name])))
            self._unread[name].clear()
        return {name: list(values) for name, values in self._read.items()}

    def state_dict(self) -> dict[str, Any]:
        return dict(self.values())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name in NAMES:
            self._unread[name].clear()
            self._read[name].clear()
            self._read[name].extend(state[name])


def to_floats(tensors: Iterable[Tensor]) -> list[float]:
    """The values of one-element tensors, in a single transfer if they share device and dtype."""
    flat = [tensor.detach().reshape(()) for tensor in tensors]
    if len({(tensor.device, tensor.dtype) for tensor in flat}) == 1:
        return [float(value) for value in torch.stack(flat).tolist()]
    return [float(tensor) for tensor in flat]
