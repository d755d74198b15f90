"""Tensors computed from data and kept in the data folder, under a hash of everything that they depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..files import data_root, save_safetensors, whole_file

IMAGES = "gankit-images"  # folders in the data folder
FEATURES = "gankit-features"


def cache_file(folder: str, prefix: str, identity: Mapping[str, Any]) -> Path:
    """The file of tensors that depend on ``identity``, which is JSON data."""
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return data_root() / folder / f"{prefix}-{key}.safetensors"


def load_tensors(path: Path, names: Collection[str], rows: int) -> dict[str, Tensor] | None:
    """The tensors in a file, by name. None if it is missing, damaged, or has other names or numbers of rows."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
            expected = (file.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):
        return None
    fits = set(tensors) == set(names) and all(tensor.shape[:1] == (rows,) for tensor in tensors.values())
    return tensors if fits and _sha256(tensors) == expected else None


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors to a file with their checksum. Raises: OSError: it cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        save_safetensors(tensors, temporary, metadata={"sha256": _sha256(tensors)})


def _sha256(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(tensors[name].numpy().data)
    return digest.hexdigest()
