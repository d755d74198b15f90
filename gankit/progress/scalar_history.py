"""The scalars of every step of a run, read from the device many steps at a time."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from ..interfaces import Scalars

MAX_POINTS = 4000  # of a curve; a longer one loses every second point

Curve = tuple[list[int], list[float]]
"""Steps, and the value at each."""


class ScalarHistory:
    """Collects scalars without waiting for the device until they are read.

    Attributes:
        curves: all that was read, by the scalar's name.
    """

    def __init__(self) -> None:
        self.curves: dict[str, Curve] = {}
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
        steps.append(step)
        values.append(value)
        if len(steps) > MAX_POINTS:
            del steps[::2], values[::2]

    def read(self) -> None:
        """Transfer what was added since the last call: waits for the device."""
        for name, (steps, tensors) in self._unread.items():
            for step, value in zip(steps, torch.stack(tensors).float().tolist(), strict=True):
                self.add_point(step, name, value)
        self._unread.clear()

    def return_to(self, step: int) -> None:
        """Drop everything after a step, to which the run has returned."""
        self._unread.clear()
        for steps, values in self.curves.values():
            kept = sum(own <= step for own in steps)
            del steps[kept:], values[kept:]
