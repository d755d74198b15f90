"""Using torch for a moment, and cheaply.

Torch imports its compiler, which takes a second, for much that compiles nothing: to find shapes on the meta device, to
build an optimizer. What is here goes without, where this version of torch lets it; where not, it only takes longer.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

T = TypeVar("T")
MAX_CALLS = 20_000  # of torch's functions, to build a network and to run it once: thousands of layers
SPARE_ELEMENTS = 2**24  # 64 MiB: buffers that no file holds
CONVOLUTIONS = (torch.conv1d, torch.conv2d, torch.conv3d)


class Frugal(TorchFunctionMode):
    """Torch's functions make up to so many elements in this scope: all in all, or each of them.

    Those on the meta device cost nothing, and do not count.

    Raises:
        ValueError: there are more calls than any network takes, whatever they make: a recipe or a checkpoint could ask
            for billions of layers.
        MemoryError: they are used up. What is asked for by its size, by a convolution or by padding, is not even
            allocated.
    """

    def __init__(self, elements: float, each: bool = False) -> None:
        super().__init__()
        self._left, self._each = elements, each
        self._calls = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self._calls += 1
        if self._calls > MAX_CALLS:
            raise ValueError(f"takes more than {MAX_CALLS:,} operations, which gankit takes for a mistake")
        given = (*args, *kwargs.values())
        if any(_on_meta(value) for value in given):
            return func(*args, **kwargs)
        # Sizes, among other numbers that are small or mean a harmless refusal.
        self._require(math.prod(_whole_numbers(given)))
        if func in CONVOLUTIONS:
            self._require(_convolved(*args, **kwargs))
        if getattr(func, "__name__", "") == "pad":  # written in Python or not, by the version of torch
            self._require(_padded(*args, **kwargs))
        result = func(*args, **kwargs)
        made = result if isinstance(result, (list, tuple)) else (result,)
        elements = sum(part.numel() for part in made if isinstance(part, Tensor) and not _on_meta(part))
        self._require(elements)
        self._left -= 0 if self._each else elements
        return result

    def _require(self, elements: int) -> None:
        if elements > self._left:
            raise MemoryError(f"{elements} elements are asked for, and {self._left} are left")


def bounded(build: Callable[[], T], stored: int) -> T:
    """The network that ``build`` makes, whose weights lie in a file of ``stored`` bytes.

    Raises:
        MemoryError: it is out of all proportion to them. It is not even allocated.
        ValueError: it has more layers than any network.
    """
    limit = SPARE_ELEMENTS + 4 * stored
    random = torch.get_rng_state()
    try:
        with Frugal(limit):
            return build()
    except MemoryError:  # of harmless numbers, perhaps
        torch.set_rng_state(random)
        with torch.random.fork_rng(devices=[]), Frugal(math.inf), torch.device("meta"):
            network: Any = build()
        elements = sum(tensor.numel() for tensor in (*network.parameters(), *network.buffers()))
        if elements > limit:
            raise MemoryError(f"{elements:,} weights are described, and {stored:,} bytes stored") from None
        return build()


def _on_meta(value: Any) -> bool:
    """Whether it is a tensor there, or that device."""
    device = value.device if isinstance(value, Tensor) else value
    return isinstance(device, torch.device) and device.type == "meta"


def _convolved(input: Tensor, weight: Tensor, *_: Any, **__: Any) -> int:
    """About how many elements a convolution of a stride of 1 makes."""
    return input.shape[0] * weight.shape[0] * math.prod(input.shape[2:])


def _padded(input: Tensor, pad: Sequence[int], *_: Any, **__: Any) -> int:
    """How many elements an image has with its padding, which is given from the last side on."""
    added = [sum(pad[2 * side : 2 * side + 2]) for side in range(input.dim())]
    return math.prod(size + more for size, more in zip(reversed(input.shape), added, strict=True))


def _whole_numbers(values: Iterable[Any]) -> Iterator[int]:
    """Those among the values, and in the lists and tuples among them."""
    for value in values:
        numbers = value if isinstance(value, (list, tuple)) else (value,)
        yield from (number for number in numbers if type(number) is int)


@contextmanager
def one_thread() -> Iterator[None]:
    """A little work is not worth sharing, and threads wait long for each other where others use the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def bare_add_param_group() -> Iterator[None]:
    """Optimizers are built without the compiler in this scope, unless it is there already.

    Torch wraps the method to hide it from the compiler. The wrapper calls what it finds as an attribute of the
    method, and imports the compiler to put it there where there is none.
    """
    method, attribute = getattr(torch.optim.Optimizer.add_param_group, "__wrapped__", None), "__dynamo_disable"
    if method is None or hasattr(method, attribute) or "torch._dynamo" in sys.modules:
        yield
        return
    setattr(method, attribute, method)
    try:
        yield
    finally:
        if getattr(method, attribute, None) is method:
            delattr(method, attribute)
