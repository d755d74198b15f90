"""The real images of an evaluation: a fixed choice, resized, and identified by a hash of their pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..data.datasets import spec_of, split_of
from ..data.fingerprint import sha256_of_pixels
from ..data.image_cache import CachedSource, StreamedSource
from ..data.items import read_tensors
from ..data.order import Order
from ..data.threads import map_in_threads
from ..errors import DataError
from ..interfaces import DataSpec, ImageSpec, Report, no_report
from ..interfaces.data_spec import IMAGE
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
        chosen = Order(len(self._dataset), ORDER_SEED).at(0, self.count).indices
        self._indices = np.sort(chosen) if self.count == len(self._dataset) else chosen

    @cached_property
    def info(self) -> RealImagesInfo:
        """The part of the evaluation record; its fingerprint is the SHA-256 of the pixels. Decodes all images."""
        return RealImagesInfo(
            dataset=self._name,
            params=dict(self._params),
            split=split_of(self._dataset),
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
        spec = DataSpec(image=self._image)
        if hasattr(self._dataset, "tensors"):
            images = read_tensors(self._dataset, spec_of(self._dataset))[IMAGE]
            cached = CachedSource({IMAGE: images}, spec, torch.device("cpu"), self._fit)
            for indices in batches:
                yield cached.read(indices, [IMAGE])[IMAGE]
            return
        source = StreamedSource(self._dataset, spec, self._fit)
        for indices in batches:
            yield torch.stack([item[IMAGE] for item in map_in_threads(source.item, indices.tolist())])
