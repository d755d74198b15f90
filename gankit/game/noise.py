"""The random numbers of a turn, independent of how its batch is split into microbatches or over processes."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy

import torch
from torch import Tensor

from .step_context import StepContext


class BatchNoise:
    """Latents and uniform numbers for each image of a batch.

    They are drawn on first use, for the whole batch of all processes. A microbatch sees its own rows.

    Args:
        context: whose random generator they are drawn from.
        count: images of the batch on this rank.
        labels: their labels [n], or None.
    """

    def __init__(self, context: StepContext, count: int, labels: Tensor | None) -> None:
        self._context, self._count, self._labels = context, count, labels
        self._rows, self._calls = slice(None), 0
        self._drawn: dict[str, Tensor] = {}  # shared with the microbatches

    def microbatch(self, rows: slice) -> BatchNoise:
        """The numbers of these images."""
        part = copy(self)
        part._rows = rows
        return part

    def copied(self) -> BatchNoise:
        """The same numbers. What is drawn from it further does not change this one."""
        other = copy(self)
        other._drawn = {**self._drawn}
        return other

    def latents(self) -> Tensor:
        """Latents [n d], the same in every call."""
        return self._once("latents", lambda: self._context.draw_latents(self._count, self._labels))

    def uniform(self, *shape: int) -> Tensor:
        """Uniform numbers [n *shape] in [0, 1), new ones in every call."""
        return self._draw(torch.rand, shape)

    def normal(self, *shape: int) -> Tensor:
        """Normal numbers [n *shape], new ones in every call."""
        return self._draw(torch.randn, shape)

    def _draw(self, draw: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        self._calls += 1
        return self._once(f"call {self._calls}", lambda: self._context.draw_numbers(draw, self._count, *shape))

    def _once(self, name: str, draw: Callable[[], Tensor]) -> Tensor:
        if name not in self._drawn:
            self._drawn[name] = draw()
        return self._drawn[name][self._rows]
