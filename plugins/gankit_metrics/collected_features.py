"""Features that a metric collects until its score is computed."""

from __future__ import annotations

import torch
from torch import Tensor


class CollectsFeatures:
    """Base of metrics that keep all features [n f], or logits [n k], of both sides: float32, on the CPU."""

    def __init__(self) -> None:
        self._parts: dict[bool, list[Tensor]] = {True: [], False: []}

    def update(self, values: Tensor, real: bool) -> None:
        """Add features [n f] of real or of generated images."""
        self._parts[real].append(values.detach().to("cpu", torch.float32))

    def collected(self, real: bool) -> Tensor:
        """All features of one side, in the order of the updates."""
        parts = self._parts[real]
        if len(parts) > 1:
            parts[:] = [torch.cat(parts)]
        return parts[0] if parts else torch.empty(0, 0)


def require_images(needed: int, side: str, given: int, remedy: str) -> None:
    """Raises: ValueError: fewer than ``needed`` images; the caller adds the metric's name to the message."""
    if given < needed:
        raise ValueError(f"at least {needed} {side} images are needed, but {given} were given: {remedy}")
