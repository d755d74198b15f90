"""Features of real images, kept on the disk under what they were computed from, so that they are never stale."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..files import data_root, whole_file
from .extractor import Extractor
from .real_images import RealImages

FOLDER = "gankit-features"
FORMAT = 1


def features_folder() -> Path:
    """Where features are kept: ``gankit-features/`` below ``$GANKIT_DATA_DIR``, else below ``data``."""
    return data_root() / FOLDER


def features_of(
    real: RealImages, extractor: Extractor, folder: Path, report: Callable[[int], None] = lambda done: None
) -> Tensor:
    """Features float32 [n f] of all real images: from the disk, or computed and written there.

    The file's name is a hash of the images' pixels and count, and of the extractor's name, weights, parameters and
    resizer; a file that is damaged is computed anew. Where none can be written, a warning says so.

    Args:
        report: is told how many images are done.

    Raises:
        GankitError: an image cannot be read, or the extractor fails.
    """
    identity = {
        "format": FORMAT,
        "real": [real.about.fingerprint, real.count],
        "features": extractor.about.model_dump(mode="json"),
        "device": extractor.kind_of_device,
    }
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    path = folder / f"{extractor.name}-{key}.safetensors"
    features = _load(path, real.count)
    if features is None:
        parts: list[Tensor] = []
        for images in real.batches():
            parts.append(extractor(images))
            report(sum(map(len, parts)))
        features = torch.cat(parts)
        _save(path, features)
    report(real.count)
    return features


def _load(path: Path, count: int) -> Tensor | None:
    """What the file holds; None where there is none, or where it is not what was written."""
    try:
        with safe_open(path, framework="pt") as file:
            features = file.get_tensor("features")
            expected = (file.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):
        return None
    whole = features.dtype == torch.float32 and features.dim() == 2 and len(features) == count
    return features if whole and _sha256(features) == expected else None


def _save(path: Path, features: Tensor) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            save_file({"features": features}, temporary, metadata={"sha256": _sha256(features)})
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        warnings.warn(f"{path}: features of the real images cannot be kept: {reason}", stacklevel=2)


def _sha256(features: Tensor) -> str:
    return hashlib.sha256(features.numpy().data).hexdigest()
