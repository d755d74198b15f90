"""A cache on disk for the features of real images. Its keys are hashes of everything that the features depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .. import messages
from ..files import data_root, whole_file
from ..interfaces import Report, no_report
from .extractor import Extractor
from .real_images import RealImages

CACHE_FOLDER = "gankit-features"  # in the data folder
FORMAT = 1
TASK = "features of real images"

Warn = Callable[[str], None]


def real_features(
    real: RealImages, extractor: Extractor, report: Report = no_report, warn: Warn = messages.warn
) -> Tensor:
    """Features float32 [n f] of all real images, read from the cache or computed and stored in it.

    The name of the file is a hash of the images' pixels and number, and of the extractor's name, weights, parameters
    and resizer. If the file is damaged, the features are computed again. If it cannot be written, ``warn`` is called.

    Args:
        real: the images.
        extractor: computes the features.
        report: called with the progress.
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
    path = data_root() / CACHE_FOLDER / f"{extractor.name}-{key}.safetensors"
    features = _load(path, real.count)
    if features is None:
        parts: list[Tensor] = []
        report(TASK, 0, real.count)
        for images in real.batches():
            parts.append(extractor(images))
            report(TASK, sum(map(len, parts)), real.count)
        features = torch.cat(parts)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as temporary:
                save_file({"features": features}, temporary, metadata={"sha256": _sha256(features)})
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or error
            warn(f"{path}: features of the real images cannot be cached: {reason}")
    report(TASK, real.count, real.count)
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
