"""Keeps the decoded and resized images of a dataset on disk if decoding them takes long."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import PIL
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..files import data_root, whole_file
from ..interfaces import Dataset
from .ignored_files import IMAGE_CACHE

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
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    path = data_root() / IMAGE_CACHE / f"pixels-{key}.safetensors"
    if (stored := _load(path, len(dataset))) is not None:
        return stored
    started = time.monotonic()
    images, labels = decode()
    if time.monotonic() - started > MIN_SECONDS and images.numel() <= MAX_BYTES:
        with suppress(OSError, SafetensorError):  # a disk that is full or read-only only costs the time of decoding
            _store(path, images, labels)
    return images, labels


def _store(path: Path, images: Tensor, labels: Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        save_file({"images": images, "labels": labels}, temporary, metadata={"sha256": _sha256(images, labels)})
    by_age = sorted(path.parent.glob("pixels-*.safetensors"), key=lambda file: file.stat().st_mtime)
    for old in by_age[:-MAX_DATASETS]:
        old.unlink(missing_ok=True)


def _load(path: Path, count: int) -> Decoded | None:
    """The content of the file; None if it is missing or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            images, labels = file.get_tensor("images"), file.get_tensor("labels")
            expected = (file.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):
        return None
    fits = len(images) == len(labels) == count and images.dtype == torch.uint8 and labels.dtype == torch.int64
    return (images, labels) if fits and _sha256(images, labels) == expected else None


def _sha256(images: Tensor, labels: Tensor) -> str:
    digest = hashlib.sha256(images.numpy().data)
    digest.update(labels.numpy().data)
    return digest.hexdigest()
