"""The scalars of every step of a run, read from the device many steps at a time."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from ..interfaces import Scalars

MAX_POINTS = 4000  # of a curve; a longer one keeps only every second, fourth, ... point, and its last one

Curve = tuple[list[int], list[float]]
"""Steps, and the value at each."""


class ScalarHistory:
    """Collects scalars without waiting for the device until they are read.

    Attributes:
        curves: all that was read, by the scalar's name.
    """

    def __init__(self) -> None:
        self.curves: dict[str, Curve] = {}
        self._added: dict[str, int] = {}  # points of each curve
        self._strides: dict[str, int] = {}  # between those that are kept
        self._unread: dict[str, tuple[list[int], list[Tensor]]] = {}

    def add(self, step: int, scalars: Scalars, names: Collection[str]) -> None:
        """Add those of a step's scalars that ``names`` contains."""
        for name in names:
            if name in scalars:
                steps, tensors = self._unread.setdefault(name, ([], []))
                steps.append(step)
                tensors.append(scalars[name].detach())

    def add_point(self, step: int, name: str, value: float) -> None:
        """Add a scalar that was read before."""
        steps, values = self.curves.setdefault(name, ([], []))
        number, stride = self._added.get(name, 0), self._strides.get(name, 1)
        if number and (number - 1) % stride:  # the last point was kept only as long as it was the newest
            del steps[-1], values[-1]
        if len(steps) == MAX_POINTS:
            del steps[1::2], values[1::2]
            self._strides[name] = 2 * stride
        steps.append(step)
        values.append(value)
        self._added[name] = number + 1

    def read(self) -> None:
        """Transfer what was added since the last call: waits for the device."""
        for name, (steps, tensors) in self._unread.items():
            for step, value in zip(steps, torch.stack(tensors).float().tolist(), strict=True):
                self.add_point(step, name, value)
        self._unread.clear()

    def return_to(self, step: int) -> None:
        """Drop everything after a step, to which the run has returned."""
        self._unread.clear()
        for name, (steps, values) in self.curves.items():
            kept = sum(own <= step for own in steps)
            if kept < len(steps):
                del steps[kept:], values[kept:]
                self._added[name] = max(0, (kept - 1) * self._strides.get(name, 1) + 1)
