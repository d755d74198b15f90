"""Limits on building a network that an untrusted checkpoint describes: its size must fit the stored weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..device.seeding import preserved_random_state

T = TypeVar("T")
MAX_CALLS = 20_000  # of torch functions in a constructor: thousands of layers
SPARE_ELEMENTS = 2**24  # 64 MiB: buffers that are not stored


def build_within(build: Callable[[], T], stored_bytes: int) -> T:
    """The network that ``build`` returns, whose weights are in a file of ``stored_bytes``.

    Raises:
        MemoryError: the network is far larger than the file. Its tensors are not allocated.
        ValueError: its constructor calls torch too often, such as for billions of layers.
    """
    limit = SPARE_ELEMENTS + 4 * stored_bytes
    random_state = torch.get_rng_state()
    try:
        with AllocationLimit(limit):
            return build()
    except MemoryError:  # possibly raised for integers that are not sizes
        torch.set_rng_state(random_state)
        with preserved_random_state(), AllocationLimit(math.inf), torch.device("meta"):
            network: Any = build()
        elements = sum(tensor.numel() for tensor in (*network.parameters(), *network.buffers()))
        if elements > limit:
            raise MemoryError(f"{elements:,} weights are described, and {stored_bytes:,} bytes stored") from None
        return build()


class AllocationLimit(TorchFunctionMode):
    """Limits the elements that torch functions allocate inside the block, and the number of calls.

    Tensors on the meta device do not count.

    Raises:
        MemoryError: more elements are requested than remain. They are not allocated.
        ValueError: there are more than `MAX_CALLS` calls.
    """

    def __init__(self, elements: float) -> None:
        super().__init__()
        self._remaining = elements
        self._calls = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self._calls += 1
        if self._calls > MAX_CALLS:
            raise ValueError(f"takes more than {MAX_CALLS:,} calls of torch functions, the limit for a network")
        arguments = (*args, *kwargs.values())
        if any(_is_meta(value) for value in arguments):
            return func(*args, **kwargs)
        self._require(math.prod(_integers(arguments)))  # sizes are integer arguments
        result = func(*args, **kwargs)
        results = result if isinstance(result, (list, tuple)) else (result,)
        elements = sum(part.numel() for part in results if isinstance(part, Tensor) and not _is_meta(part))
        self._require(elements)
        self._remaining -= elements
        return result

    def _require(self, elements: int) -> None:
        if elements > self._remaining:
            raise MemoryError(f"{elements} elements are requested, and {self._remaining} remain")


def _is_meta(value: Any) -> bool:
    """Whether the value is a tensor on the meta device, or that device."""
    device = value.device if isinstance(value, Tensor) else value
    return isinstance(device, torch.device) and device.type == "meta"


def _integers(values: Iterable[Any]) -> Iterator[int]:
    """The integers among the values, and inside lists and tuples among them."""
    for value in values:
        numbers = value if isinstance(value, (list, tuple)) else (value,)
        yield from (number for number in numbers if type(number) is int)
