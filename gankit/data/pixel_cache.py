"""Keeps the decoded or encoded images of a dataset on disk if computing them takes long."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import PIL
import torch

from .items import Item
from .tensor_cache import IMAGES, cache_file, load_tensors, save_tensors

FORMAT = 3
MIN_SECONDS = 5.0  # what is computed faster is not kept
MAX_BYTES = 2**30  # of the images of a dataset
MAX_DATASETS = 8  # kept; older ones are deleted


def load_or_compute(
    dataset: Any, prefix: str, names: Sequence[str], transform: Mapping[str, Any], compute: Callable[[], Item]
) -> Item:
    """All items of a dataset, stacked, from the data folder or from ``compute``, whose result is then stored there.

    The name of the file is a hash of the dataset's ``fingerprint()``, the transform, and everything that the pixels
    depend on. A damaged file is replaced. Without a fingerprint, nothing is stored.

    Args:
        dataset: prepared.
        prefix: of the name of the file.
        names: of the tensors.
        transform: everything else that they depend on.
        compute: computes them.
    """
    if not hasattr(dataset, "fingerprint"):
        return compute()
    identity = {
        "format": FORMAT,
        "dataset": dataset.fingerprint(),
        "transform": dict(transform),
        "versions": [PIL.__version__, str(torch.__version__)],
        "machine": [platform.machine(), torch.backends.cpu.get_cpu_capability()],  # which rounding may depend on
    }
    path = cache_file(IMAGES, prefix, identity)
    if stored := load_tensors(path, names, len(dataset)):
        return stored
    started = time.monotonic()
    tensors = compute()
    if time.monotonic() - started > MIN_SECONDS and sum(tensor.nbytes for tensor in tensors.values()) <= MAX_BYTES:
        with suppress(OSError):  # a disk that is full or read-only only costs the time of decoding
            save_tensors(path, tensors)
            by_age = sorted(path.parent.glob(f"{prefix}-*.safetensors"), key=lambda file: file.stat().st_mtime)
            for old in by_age[:-MAX_DATASETS]:
                old.unlink(missing_ok=True)
    return tensors
