"""Random numbers of one item of a dataset."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")


class ItemRandom:
    """Random numbers that depend on a key alone, and not on the order of items, on processes or on global state.

    Args:
        key: non-negative numbers, such as the seed of the dataset and the index of the item.
    """

    def __init__(self, *key: int) -> None:
        seed = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])
        self.generator = torch.Generator("cpu").manual_seed(seed)

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        share = torch.rand((), generator=self.generator, dtype=torch.float64, device="cpu").item()
        return low + (high - low) * share

    def integer(self, low: int, high: int) -> int:
        """A whole number in [low, high], both included."""
        return int(torch.randint(low, high + 1, (), generator=self.generator, device="cpu"))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.uniform(0, 1) < probability

    def choose(self, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
        """One of the options, with probabilities in proportion to the weights, or equal ones."""
        if weights is None:
            return options[self.integer(0, len(options) - 1)]
        *bounds, total = accumulate(weights)
        return options[bisect_right(bounds, self.uniform(0, total))]

    def normal(self, *shape: int) -> Tensor:
        """Normal numbers, fp32."""
        return torch.randn(shape, generator=self.generator, dtype=torch.float32, device="cpu")

    def poisson(self, rate: Tensor) -> Tensor:
        """Numbers with a Poisson distribution of these rates."""
        return torch.poisson(rate, self.generator)
