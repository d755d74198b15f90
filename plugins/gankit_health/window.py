"""The figures of the last steps, fetched from the device only when somebody looks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

import gankit

FIGURES = ("discriminator_loss", "generator_loss", "real_logits", "fake_logits")


class Window:
    """The last ``length`` values of a few figures.

    A step costs the appending of its tensors to a list: nothing is computed, and nothing waits for the device.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self._read: dict[str, deque[float]] = {name: deque(maxlen=length) for name in FIGURES}
        self._unread: dict[str, deque[Tensor]] = {name: deque(maxlen=length) for name in FIGURES}

    def add(self, scalars: gankit.Scalars) -> None:
        """Remember this step's figures, those that it has."""
        for name in FIGURES:
            if name in scalars:
                self._unread[name].append(scalars[name])

    def values(self) -> Mapping[str, Sequence[float]]:
        """The values of each figure, oldest first; waits for the device."""
        floats = iter(fetched([tensor for name in FIGURES for tensor in self._unread[name]]))
        for name in FIGURES:
            self._read[name].extend(next(floats) for _ in range(len(self._unread[name])))
            self._unread[name].clear()
        return {name: list(values) for name, values in self._read.items()}

    def clear(self) -> None:
        for name in FIGURES:
            self._read[name].clear()
            self._unread[name].clear()

    def state_dict(self) -> dict[str, Any]:
        return dict(self.values())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.clear()
        for name in FIGURES:
            self._read[name].extend(state[name])


def fetched(tensors: Iterable[Tensor]) -> list[float]:
    """The values of 0-d tensors, in one transfer where they lie on one device."""
    held = [tensor.detach().reshape(()) for tensor in tensors]
    if len({(tensor.device, tensor.dtype) for tensor in held}) == 1:
        return [float(value) for value in torch.stack(held).tolist()]
    return [float(tensor) for tensor in held]
