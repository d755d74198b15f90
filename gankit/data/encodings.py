"""The encodings of all images of a run with a codec, computed once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..interfaces import Report
from ..interfaces.data_spec import IMAGE
from .image_cache import CACHE_LIMIT_BYTES, CachedSource
from .image_codec import BATCH, ImageCodec
from .items import Item
from .order import Drawn
from .pixel_cache import load_or_compute
from .resize import to_float

PLAIN, MIRRORED = "plain", "mirrored"
TASK = "encoding images"


class Encodings(NamedTuple):
    """Standardized encodings [n k y x] of images, and those of the mirrored images if the run mirrors some."""

    plain: Tensor
    mirrored: Tensor | None

    def read(self, drawn: Drawn) -> Tensor:
        """The encodings of the images that are drawn, mirrored where they are to be."""
        rows = torch.from_numpy(drawn.indices).to(self.plain.device)
        if self.mirrored is None:
            return self.plain[rows]
        flips = torch.from_numpy(drawn.flips).to(self.plain.device)[:, None, None, None]
        return torch.where(flips, self.mirrored[rows], self.plain[rows])


def encode_all(
    dataset: Any, source: CachedSource, codec: ImageCodec, mirrored: bool, report: Report
) -> Encodings | None:
    """Encode all images of a dataset, or read their encodings from the data folder. None if they are too many to keep.

    Args:
        dataset: prepared.
        source: of its images.
        codec: whose encodings are standardized.
        mirrored: whether to encode the mirrored images as well.
        report: called with the progress.
    """
    count, spec = len(dataset), codec.encoded
    names = (PLAIN, MIRRORED) if mirrored else (PLAIN,)
    if len(names) * count * spec.channels * spec.height * spec.width * 4 > CACHE_LIMIT_BYTES:
        return None

    def encode() -> Item:
        parts: dict[str, list[Tensor]] = {name: [] for name in names}
        for start in range(0, count, BATCH):
            report(TASK, start, count)
            images = to_float(source.read(np.arange(start, min(start + BATCH, count)), [IMAGE])[IMAGE])
            for name in names:
                encoded = codec.encode(images.flip(-1) if name == MIRRORED else images)
                parts[name].append(encoded.float().cpu())
        report(TASK, count, count)
        return {name: torch.cat(tensors).contiguous() for name, tensors in parts.items()}

    identity = {
        "items": repr(source.spec),
        "fit": source.fit,
        "codec": codec.fingerprint,
        "standardized": codec.record(),
        "device": codec.device.type,
    }
    tensors = load_or_compute(dataset, "encodings", names, identity, encode) if codec.fingerprint else encode()
    moved = {name: tensor.to(source.device) for name, tensor in tensors.items()}
    return Encodings(moved[PLAIN], moved.get(MIRRORED))
