"""Fingerprints of real images: hashes of their content, which do not depend on paths or times."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import DataError
from ..interfaces import DataSpec
from ..interfaces.data_spec import IMAGE
from .datasets import classes_of, labels_of, spec_of
from .items import read_item, read_tensors

SAMPLED_ITEMS = 32  # of a dataset that has neither `fingerprint` nor `tensors`; decoding all could take hours


def data_fingerprint(dataset: Any) -> str:
    """A SHA-256 of a prepared dataset's content.

    It comes from the dataset's own ``fingerprint()``, or from all of its ``tensors()``. Without these methods, it is
    that of the number of images, the ``labels`` if there are any, and a few items spread over the dataset.

    Raises:
        DataError: ``fingerprint()`` does not return a string.
    """
    if hasattr(dataset, "fingerprint"):
        own = dataset.fingerprint()
        if not isinstance(own, str) or not own:
            raise DataError(f"{type(dataset).__name__}.fingerprint() returned {own!r:.80}; it should return a string")
        return own
    spec = spec_of(dataset)
    if hasattr(dataset, "tensors"):
        tensors = read_tensors(dataset, spec)
        return sha256_of_pixels(tensors[IMAGE].shape, tensors.values())
    digest = hashlib.sha256(f"{len(dataset)} items".encode())
    if (known := labels_of(dataset)) is not None:
        digest.update(known.tobytes())
    indices = np.unique(np.linspace(0, len(dataset) - 1, SAMPLED_ITEMS).astype(int)).tolist()
    # items that differ from one read to the next, against the interface, identify nothing
    if _item(dataset, indices[0], spec) == _item(dataset, indices[0], spec):
        for index in indices:
            digest.update(_item(dataset, index, spec))
    return digest.hexdigest()


def sha256_of_pixels(shape: Sequence[int], tensors: Iterable[Tensor]) -> str:
    """The SHA-256 of the values of several tensors on the CPU, and of the shape of their images."""
    digest = hashlib.sha256(repr(tuple(shape)).encode())
    for tensor in tensors:
        digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()


def _item(dataset: Any, index: int, spec: DataSpec) -> bytes:
    """The content of an item. A damaged one is only an error once training needs it."""
    try:
        item = read_item(dataset, index, spec, classes_of(dataset) is not None)
    except (DataError, OSError):
        return b"unreadable"
    return b"".join(
        repr((name, tuple(tensor.shape), str(tensor.dtype))).encode() + np.ascontiguousarray(tensor.numpy()).tobytes()
        for name, tensor in item.items()
    )
