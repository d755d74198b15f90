"""Tensors inside mappings, lists and tuples, as networks return them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor


def map_tensors(output: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same structure with ``change`` applied to every tensor; mappings become plain dictionaries."""
    if isinstance(output, Tensor):
        return change(output)
    if isinstance(output, Mapping):
        return {key: map_tensors(value, change) for key, value in output.items()}
    if isinstance(output, (list, tuple)):
        changed = [map_tensors(value, change) for value in output]
        return type(output)(*changed) if hasattr(output, "_fields") else type(output)(changed)
    return output


def tensors_in(output: Any) -> Iterator[Tensor]:
    """All tensors in an output of any structure."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        yield from tensors_in([*output.values()])
    elif isinstance(output, (list, tuple)):
        for value in output:
            yield from tensors_in(value)
