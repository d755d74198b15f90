"""Reads pickled networks as data: a pickle that names any function or class that is not listed here is refused.

Pickles of StyleGAN2-ADA and its successors contain the source code of their networks, which their own loader executes.
Here, all that they may name becomes inert data, and nothing of a file is called.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import GankitError
from ..messages import one_line, quote, truncate

MAX_OPERATIONS = 5_000_000
MAX_ARGUMENTS = 16  # of an object
MAX_COPIED = 1_000_000  # items of all sets and mappings that are made from other ones
MAX_TUPLES = 50_000  # the hash of a tuple in 100,000 others would overflow the stack
SCALAR_KINDS = "biuf"


class PickledObject:
    """An object of a class of the file, as data.

    Attributes:
        arguments: that its class or function was called with.
        state: the attributes that it was pickled with.
    """

    arguments: tuple[Any, ...]
    state: Any

    def __new__(cls, *arguments: Any, **keywords: Any) -> Any:
        if len(arguments) > MAX_ARGUMENTS:  # many objects may share one long tuple
            raise ValueError(f"an object has {len(arguments):,} arguments")
        made = super().__new__(cls)
        made.arguments, made.state = arguments, None
        return made

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state


class PickledModule(PickledObject):
    """A network or a part of it."""


class PersistentModule(PickledModule):
    """A module that was pickled with its source code, which is ignored."""

    def __init__(self, meta: Any) -> None:
        self.state = meta.get("state") if isinstance(meta, dict) else None


class PickledTensor(PickledObject):
    """A tensor: its storage, and which of its elements it has."""

    def tensor(self) -> Tensor:
        """Raises: ValueError: it has elements outside its storage."""
        storage, offset, size, stride = self.arguments[:4]
        if not isinstance(storage, PickledStorage) or not all(map(_is_index, (offset, *size, *stride))):
            raise ValueError("a tensor is not described by a storage and integers")
        flat = storage.tensor()
        last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
        elements = int(np.prod([int(length) for length in size], dtype=object))
        if elements and (last >= len(flat) or elements > len(flat)):
            raise ValueError(f"a tensor {truncate(str([*size]))} is larger than its stored data")
        return flat.as_strided(size, stride, offset) if elements else flat.new_empty(size)


class PickledParameter(PickledObject):
    """A parameter: a tensor, and how it was trained."""

    def tensor(self) -> Tensor:
        """Raises: ValueError: it has no tensor."""
        data = self.arguments[0] if self.arguments else None
        if not isinstance(data, PickledTensor):
            raise ValueError("a parameter does not contain a tensor")
        return data.tensor()


class PickledStorage(PickledObject):
    """The bytes of a file of `torch.save` with the elements of a tensor."""

    elements: Tensor | None = None  # once they are read

    def tensor(self) -> Tensor:
        """All elements [n]. Raises: ValueError: they cannot be read."""
        content = self.arguments[0] if self.arguments else None
        if not isinstance(content, bytes) or content.startswith(b"PK"):
            raise ValueError("a storage is not an uncompressed file of torch.save")
        if self.elements is not None:
            return self.elements
        try:
            with warnings.catch_warnings(action="ignore"):  # torch deprecates such storages
                storage = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
                if not isinstance(storage, torch.TypedStorage) or storage.nbytes() > len(content):
                    raise TypeError(f"it holds a {type(storage).__name__}")
                self.elements = torch.tensor([], dtype=storage.dtype).set_(storage)
        except Exception as error:  # unpickling an untrusted file can raise almost any exception
            raise ValueError(f"a storage cannot be read: {one_line(error)[:200]}") from None
        return self.elements


class PickledScalarType(PickledObject):
    """The type of a numpy number, such as ``f8``."""

    def read(self, content: Any) -> Any:
        """A number. Raises: ValueError: the type is not that of a number, or the bytes are of another length."""
        code = self.arguments[0] if self.arguments else None
        if not isinstance(code, str) or code[:1] not in SCALAR_KINDS or not code[1:].isdigit():
            raise ValueError(f"the numpy type {quote(code)} is not that of a number")
        if not isinstance(content, bytes) or len(content) > 16:
            raise ValueError("the bytes of a numpy number are invalid")
        return np.frombuffer(content, dtype=np.dtype(code), count=1).item()


class PickledScalar(PickledObject):
    """A numpy number. It becomes one of Python."""

    def __new__(cls, kind: Any, content: Any) -> Any:
        if not isinstance(kind, PickledScalarType):
            raise ValueError("a numpy number has no type")
        return kind.read(content)


class EasyDict(dict[Any, Any]):
    """A mapping of StyleGAN2-ADA. It is pickled without arguments."""

    def __init__(self, *arguments: Any) -> None:
        if arguments:
            raise ValueError("an EasyDict has arguments")
        super().__init__()


HARMLESS: Mapping[str, type[Any]] = {
    "dnnlib.util.EasyDict": EasyDict,
    "numpy.dtype": PickledScalarType,
    "numpy.core.multiarray.scalar": PickledScalar,
    "numpy._core.multiarray.scalar": PickledScalar,
    "numpy.core.multiarray._reconstruct": PickledObject,
    "numpy._core.multiarray._reconstruct": PickledObject,
    "numpy.ndarray": PickledObject,
    "torch._utils._rebuild_parameter": PickledParameter,
    "torch._utils._rebuild_parameter_with_state": PickledParameter,
    "torch._utils._rebuild_tensor": PickledTensor,
    "torch._utils._rebuild_tensor_v2": PickledTensor,
    "torch.storage._load_from_bytes": PickledStorage,
    "torch_utils.persistence._reconstruct_persistent_obj": PersistentModule,
}
"""The names that a pickle may contain, and the data that they become."""

CONTAINERS: Mapping[str, type[Any]] = {
    "builtins.set": set,
    "builtins.dict": dict,
    "collections.OrderedDict": OrderedDict,
}
"""The names that a pickle may contain to copy another container."""

MODULES = ("torch.nn.modules.*",)
TENSORFLOW = ("dnnlib.tflib.*", "tensorflow.*", "tfutil.*")
TYPES = {str(value): value for value in vars(torch).values() if isinstance(value, torch.dtype)}


class InertUnpickler(pickle.Unpickler):
    """An unpickler that gives data only.

    Args:
        content: of the file.
        classes: patterns of the names of further classes whose objects become a `PickledModule`.
    """

    def __init__(self, content: bytes, classes: tuple[str, ...]) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self._classes = (*MODULES, *classes)
        self.copied = 0

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}".replace("__builtin__.", "builtins.")
        if full in HARMLESS:
            return HARMLESS[full]
        if full in CONTAINERS:
            return Copier(self, CONTAINERS[full])
        if full in TYPES:
            return TYPES[full]
        if any(fnmatchcase(full, pattern) for pattern in TENSORFLOW):
            raise GankitError(
                "is a network of TensorFlow; convert it to PyTorch with legacy.py of StyleGAN2-ADA or StyleGAN3 first"
            )
        if any(fnmatchcase(full, pattern) for pattern in self._classes):
            return PickledModule
        raise GankitError(
            f"names {quote(full)}, which is not part of any known kind of weight file, and was not executed; do not "
            "trust this file, or load the plugin that knows it (--plugin)"
        )


class Copier:
    """Makes containers of a type, as long as those of a pickle have few items in all."""

    __slots__ = ("_kind", "_unpickler")

    def __init__(self, unpickler: InertUnpickler, kind: type[Any]) -> None:
        self._unpickler, self._kind = unpickler, kind

    def __call__(self, *arguments: Any) -> Any:
        self._unpickler.copied += sum(map(len, arguments))
        if self._unpickler.copied > MAX_COPIED:
            raise ValueError(f"its sets and mappings copy more than {MAX_COPIED:,} items")
        return self._kind(*arguments)


def unpickle(content: bytes, classes: tuple[str, ...]) -> Any:
    """The value of a pickle, with `PickledObject` for objects and tensors.

    Raises:
        GankitError: it is damaged, too large, or names something that is not data. The message lacks the file.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of damaged strings
            _require_bounded(content)
            return InertUnpickler(content, classes).load()
    except GankitError:
        raise
    except Exception as error:  # unpickling an untrusted file can raise almost any exception
        raise GankitError(f"is a damaged pickle: {one_line(error)[:200]}") from None


def _require_bounded(content: bytes) -> None:
    """Raises: ValueError: reading the pickle would take far more time, memory or stack than its size suggests."""
    operations = tuples = highest = 0
    for operation, argument, _ in pickletools.genops(io.BytesIO(content)):
        operations += 1
        tuples += operation.name.startswith("TUPLE")
        if operation.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            highest = max(highest, int(argument or 0))
        if operations > MAX_OPERATIONS or tuples > MAX_TUPLES:
            raise ValueError(f"it has more than {MAX_OPERATIONS:,} operations or {MAX_TUPLES:,} tuples")
    if highest > operations:
        raise ValueError(f"it stores an object as number {highest:,}, but has {operations:,} operations")


def _is_index(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**62
