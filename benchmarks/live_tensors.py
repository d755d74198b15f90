"""The memory of tensors on the CPU, where torch's allocator keeps no statistics."""

from __future__ import annotations

import weakref
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.weak import WeakIdKeyDictionary


class LiveTensors(TorchDispatchMode):
    """Counts the bytes of tensors that operations in the block create, and that are alive.

    Attributes:
        peak: the largest number of bytes at one time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._bytes = 0
        self._seen = WeakIdKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._count, result)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._seen:
            return
        self._seen[storage] = size = storage.nbytes()
        weakref.finalize(storage, self._free, size)
        self._bytes += size
        self.peak = max(self.peak, self._bytes)

    def _free(self, size: int) -> None:
        self._bytes -= size
