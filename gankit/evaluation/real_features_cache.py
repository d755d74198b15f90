"""A cache on disk for the features of real images. Its keys are hashes of everything that the features depend on."""

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

from ..files import whole_file
from .extractor import Extractor
from .real_images import RealImages

CACHE_FOLDER = "gankit-features"  # in the data folder
FORMAT = 1

Warn = Callable[[str], None]


def real_features(
    real: RealImages,
    extractor: Extractor,
    folder: Path,
    report: Callable[[int], None] = lambda done: None,
    warn: Warn = warnings.warn,
) -> Tensor:
    """Features float32 [n f] of all real images, read from the cache or computed and stored in it.

    The name of the file is a hash of the images' pixels and number, and of the extractor's name, weights, parameters
    and resizer. If the file is damaged, the features are computed again. If it cannot be written, ``warn`` is called.

    Args:
        real: the images.
        extractor: computes the features.
        folder: of the cache.
        report: called with the number of images done.
        warn: called with a sentence if the features cannot be written.

    Raises:
        GankitError: an image cannot be read, or the extractor fails.
    """
    identity = {
        "format": FORMAT,
        "real": [real.info.fingerprint, real.count],
        "features": extractor.info.model_dump(mode="json"),
        "device": extractor.device_type,
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
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as temporary:
                save_file({"features": features}, temporary, metadata={"sha256": _sha256(features)})
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or error
            warn(f"{path}: features of the real images cannot be cached: {reason}")
    report(real.count)
    return features


def _load(path: Path, count: int) -> Tensor | None:
    """The features in the file; None if it is missing or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            features = file.get_tensor("features")
            expected = (file.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):
        return None
    fits = features.dtype == torch.float32 and features.dim() == 2 and len(features) == count
    return features if fits and _sha256(features) == expected else None


def _sha256(features: Tensor) -> str:
    return hashlib.sha256(features.numpy().data).hexdigest()
