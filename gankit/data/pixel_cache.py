"""Keeps the decoded and resized images of a dataset on disk if decoding them takes long."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import PIL
import torch
from safetensors import SafetensorError
from torch import Tensor

from ..interfaces import Dataset
from .tensor_cache import IMAGES, cache_file, load_tensors, save_tensors

FORMAT = 1
MIN_SECONDS = 5.0  # images that are decoded faster are not kept
MAX_BYTES = 2**30  # of the images of a dataset
MAX_DATASETS = 8  # kept; older ones are deleted

Decoded = tuple[Tensor, Tensor]  # images uint8 [n c h w] and labels int64 [n]


def load_or_decode(dataset: Dataset, transform: Mapping[str, Any], decode: Callable[[], Decoded]) -> Decoded:
    """The images and labels of a dataset, from the data folder or from ``decode``, whose result is then stored there.

    The name of the file is a hash of the dataset's ``fingerprint()``, the transform, and everything that the pixels
    depend on. A damaged file is replaced. Datasets without a fingerprint are always decoded.

    Args:
        dataset: prepared.
        transform: how its images are resized.
        decode: decodes all of them.
    """
    if not hasattr(dataset, "fingerprint"):
        return decode()
    identity = {
        "format": FORMAT,
        "dataset": dataset.fingerprint(),
        "transform": dict(transform),
        "versions": [PIL.__version__, str(torch.__version__)],
        "machine": [platform.machine(), torch.backends.cpu.get_cpu_capability()],  # which rounding may depend on
    }
    path = cache_file(IMAGES, "pixels", identity)
    if stored := load_tensors(path, ("images", "labels"), len(dataset)):
        return stored["images"], stored["labels"]
    started = time.monotonic()
    images, labels = decode()
    if time.monotonic() - started > MIN_SECONDS and images.numel() <= MAX_BYTES:
        with suppress(OSError, SafetensorError):  # a disk that is full or read-only only costs the time of decoding
            save_tensors(path, {"images": images, "labels": labels})
            by_age = sorted(path.parent.glob("pixels-*.safetensors"), key=lambda file: file.stat().st_mtime)
            for old in by_age[:-MAX_DATASETS]:
                old.unlink(missing_ok=True)
    return images, labels
