"""What a metric keeps until it is asked."""

from __future__ import annotations

import torch
from torch import Tensor


class FeatureBuffer:
    """Features [n f], or logits [n k], of both sides: float32, on the CPU."""

    def __init__(self) -> None:
        self._parts: dict[bool, list[Tensor]] = {True: [], False: []}

    def add(self, values: Tensor, real: bool) -> None:
        self._parts[real].append(values.detach().to("cpu", torch.float32))

    def of(self, real: bool) -> Tensor:
        """All of one side, in the order in which they came."""
        parts = self._parts[real]
        if len(parts) > 1:
            parts[:] = [torch.cat(parts)]
        return parts[0] if parts else torch.empty(0, 0)


def require_images(needed: int, side: str, given: int, remedy: str) -> None:
    """See that there are enough images. Raises: ValueError, which leaves the metric's name to the caller."""
    if given < needed:
        raise ValueError(f"at least {needed} {side} images are needed, and {given} were given: {remedy}")
