"""The encodings of all images of a run with a codec, computed once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ...interfaces import ImageSpec, Report
from ...interfaces.data_spec import IMAGE
from ..image_cache import CACHE_LIMIT_BYTES, CachedSource, Indices, to_device
from ..items import Item
from ..order import Flips
from ..pixel_cache import load_or_compute
from ..resize import Fit, to_float
from .image_codec import BATCH, ImageCodec

PLAIN, MIRRORED = "plain", "mirrored"
TASK = "encoding images"


class EncodingSource(Protocol):
    """Encodings of all images of a dataset."""

    @property
    def labels(self) -> Tensor | None:
        """Those of all items, [n] or [n v]; None if they have to be read from the dataset."""

    def read(self, indices: Indices, flips: Flips) -> Tensor:
        """The encodings of several images [n k y x], not standardized, mirrored where ``flips`` says so."""


class Encodings(NamedTuple):
    """Encodings [n k y x] in memory: of the images, and of the mirrored images if the run mirrors some."""

    plain: Tensor
    mirrored: Tensor | None
    labels: Tensor | None = None

    def read(self, indices: Indices, flips: Flips) -> Tensor:
        """As `EncodingSource.read`."""
        rows = to_device(torch.from_numpy(indices), self.plain.device)
        if self.mirrored is None:
            return self.plain[rows]
        mirror = to_device(torch.from_numpy(flips), self.plain.device)[:, None, None, None]
        return torch.where(mirror, self.mirrored[rows], self.plain[rows])


def names_of(mirrored: bool) -> tuple[str, ...]:
    """The names of the tensors of encodings: with those of the mirrored images or without."""
    return (PLAIN, MIRRORED) if mirrored else (PLAIN,)


def identity_of(codec: ImageCodec, image: ImageSpec, fit: Fit) -> Mapping[str, Any]:
    """Everything but the data that encodings depend on, as JSON data."""
    return {
        "image": [image.channels, image.height, image.width],
        "fit": fit,
        "dtype": str(codec.dtype).removeprefix("torch."),
        "codec": codec.fingerprint,
    }


def encode_all(
    dataset: Any, source: CachedSource, codec: ImageCodec, mirrored: bool, report: Report
) -> Encodings | None:
    """Encode all images of a dataset, or read their encodings from the data folder. None if they are too many to keep.

    Args:
        dataset: prepared.
        source: of its images.
        codec: of the run.
        mirrored: whether to encode the mirrored images as well.
        report: called with the progress.
    """
    count, names = len(dataset), names_of(mirrored)
    if len(names) * count * codec.bytes_of_encoding > CACHE_LIMIT_BYTES:
        return None

    def images() -> Iterable[Tensor]:
        for start in range(0, count, BATCH):
            report(TASK, start, count)
            yield source.read(np.arange(start, min(start + BATCH, count)), [IMAGE])[IMAGE]
        report(TASK, count, count)

    def encode() -> Item:
        return encode_images(images(), count, codec, names)

    identity = {**identity_of(codec, source.spec.image, source.fit), "device": codec.device.type}
    tensors = load_or_compute(dataset, "encodings", names, identity, encode) if codec.fingerprint else encode()
    moved = {name: tensor.to(source.device) for name, tensor in tensors.items()}
    return Encodings(moved[PLAIN], moved.get(MIRRORED))


def encode_images(batches: Iterable[Tensor], count: int, codec: ImageCodec, names: Iterable[str]) -> Item:
    """The encodings of ``count`` images uint8 [n c h w], which come in batches: [count k y x] on the CPU, by name."""
    stacked = {name: torch.empty((count, *codec.encoded.shape), dtype=codec.dtype) for name in names}
    done = 0
    for batch in batches:
        images = to_float(batch)
        for name, encodings in stacked.items():
            encodings[done : done + len(images)] = codec.raw(images.flip(-1) if name == MIRRORED else images)
        done += len(images)
    return stacked
