"""The real images of an evaluation: a fixed choice, resized, and identified by a hash of their pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..data.fingerprint import sha256_of_pixels
from ..data.image_cache import CachedSource, StreamedSource
from ..data.order import Order
from ..data.threads import map_in_threads
from ..errors import DataError
from ..interfaces import ImageSpec, Report, no_report
from .extractor import BATCH
from .record import RealImagesInfo
from .request import RealDataset

MAX_CACHED_BYTES = 2**30  # decoded pixels kept between computing the fingerprint and the features
TASK = "reading real images"
ORDER_SEED = 0  # chooses the same images for every evaluation, whatever its seed


class RealImages:
    """The first images of a fixed permutation of a dataset, resized as the loader resizes them.

    Args:
        real: a prepared dataset.
        image: the size and channels of the evaluation.
        count: maximum number of images.
        report: called with the progress of the first reading.

    Attributes:
        count: number of images.

    Raises:
        DataError: the dataset is empty.
    """

    def __init__(self, real: RealDataset, image: ImageSpec, count: int, report: Report = no_report) -> None:
        self._name, self._params, self._dataset, self._fit = real
        self._report = report
        if len(self._dataset) == 0:
            raise DataError(f"dataset '{self._name}' is empty, but real images are needed to compare with")
        self.count = min(count, len(self._dataset))
        self._image, self._shape = image, (self.count, image.channels, image.height, image.width)
        chosen, _ = Order(len(self._dataset), ORDER_SEED).at(0, self.count)
        self._indices = np.sort(chosen) if self.count == len(self._dataset) else chosen

    @cached_property
    def info(self) -> RealImagesInfo:
        """The part of the evaluation record; its fingerprint is the SHA-256 of the pixels. Decodes all images."""
        return RealImagesInfo(
            dataset=self._name,
            params=dict(self._params),
            split=str(getattr(self._dataset, "split", "")),
            count=self.count,
            fingerprint=sha256_of_pixels(self._shape, self.batches(self._report)),
        )

    def batches(self, report: Report = no_report) -> Iterator[Tensor]:
        """All images, uint8 [n c h w] on the CPU. Raises: DataError: one cannot be read."""
        return iter(self._cached) if math.prod(self._shape) <= MAX_CACHED_BYTES else self._reported(report)

    @cached_property
    def _cached(self) -> list[Tensor]:
        return list(self._reported(self._report))

    def _reported(self, report: Report) -> Iterator[Tensor]:
        done = 0
        report(TASK, done, self.count)
        for images in self._read():
            yield images
            done += len(images)
            report(TASK, done, self.count)

    def _read(self) -> Iterator[Tensor]:
        batches = [self._indices[start : start + BATCH] for start in range(0, self.count, BATCH)]
        if hasattr(self._dataset, "tensors"):
            pixels, labels = self._dataset.tensors()
            if pixels.dtype != torch.uint8 or pixels.shape[1] != self._image.channels:
                given, expected = list(pixels.shape[1:]), f"uint8 [{self._image.channels} h w]"
                raise DataError(f"dataset '{self._name}' contains {pixels.dtype} {given}; expected {expected}")
            cached = CachedSource(pixels, labels, self._image, torch.device("cpu"), self._fit)
            for indices in batches:
                yield cached.read(indices)[0]
            return
        source = StreamedSource(self._dataset, self._image, self._fit)
        for indices in batches:
            yield torch.stack([image for image, _ in map_in_threads(source.item, indices.tolist())])
