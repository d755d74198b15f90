"""A cache on disk for the features of real images. Its keys are hashes of everything that the features depend on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .. import messages
from ..data.tensor_cache import FEATURES, cache_file, load_tensors, save_tensors
from ..interfaces import Report, no_report
from .extractor import Extractor
from .real_images import RealImages

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
    path = cache_file(FEATURES, extractor.name, identity)
    if stored := load_tensors(path, ("features",), real.count):
        features = stored["features"]
    else:
        parts: list[Tensor] = []
        report(TASK, 0, real.count)
        for images in real.batches():
            parts.append(extractor(images))
            report(TASK, sum(map(len, parts)), real.count)
        features = torch.cat(parts)
        try:
            save_tensors(path, {"features": features})
        except OSError as error:
            warn(f"{path}: features of the real images cannot be cached: {error.strerror or error}")
    report(TASK, real.count, real.count)
    return features
