"""The real images of an evaluation: a fixed choice, resized, and identified by a hash of their pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.image_cache import DECODER_THREADS, CachedSource, Indices, StreamedSource
from ..data.order import Order
from ..errors import DataError
from ..interfaces import Dataset, ImageSpec
from .extractor import BATCH
from .record import RealImagesInfo

MAX_CACHED_BYTES = 2**30  # decoded pixels kept between computing the fingerprint and the features
ORDER_SEED = 0  # chooses the same images for every evaluation, whatever its seed


class RealImages:
    """The first images of a fixed permutation of a dataset, resized as the loader resizes them.

    Args:
        name: of the dataset.
        params: of the dataset.
        dataset: prepared.
        image: the size and channels of the evaluation.
        count: maximum number of images.

    Attributes:
        count: number of images.

    Raises:
        DataError: the dataset is empty.
    """

    def __init__(self, name: str, params: Mapping[str, Any], dataset: Dataset, image: ImageSpec, count: int) -> None:
        if len(dataset) == 0:
            raise DataError(f"dataset '{name}' is empty: there are no real images to compare with")
        self._name, self._params, self._dataset, self._image = name, params, dataset, image
        self.count = min(count, len(dataset))
        chosen, _ = Order(len(dataset), ORDER_SEED).at(0, self.count)
        self._indices = np.sort(chosen) if self.count == len(dataset) else chosen

    @cached_property
    def info(self) -> RealImagesInfo:
        """The part of the evaluation record; its fingerprint is the SHA-256 of the pixels. Decodes all images."""
        shape = (self.count, self._image.channels, self._image.height, self._image.width)
        digest = hashlib.sha256(repr(shape).encode())
        for images in self.batches():
            digest.update(np.ascontiguousarray(images.numpy()).data)
        return RealImagesInfo(
            dataset=self._name,
            params=dict(self._params),
            split=str(getattr(self._dataset, "split", "")),
            count=self.count,
            fingerprint=digest.hexdigest(),
        )

    def batches(self) -> Iterator[Tensor]:
        """All images, uint8 [n c h w] on the CPU. Raises: DataError: one cannot be read."""
        image_bytes = self._image.channels * self._image.height * self._image.width
        return iter(self._cached) if self.count * image_bytes <= MAX_CACHED_BYTES else self._read()

    @cached_property
    def _cached(self) -> list[Tensor]:
        return list(self._read())

    def _read(self) -> Iterator[Tensor]:
        batches = [self._indices[start : start + BATCH] for start in range(0, self.count, BATCH)]
        if hasattr(self._dataset, "tensors"):
            pixels, labels = self._dataset.tensors()
            cached = CachedSource(pixels, labels, self._image, torch.device("cpu"))
            return (self._check(cached.read(indices)[0]) for indices in batches)
        return self._decode(batches)

    def _decode(self, batches: list[Indices]) -> Iterator[Tensor]:
        source = StreamedSource(self._dataset, self._image)
        with ThreadPoolExecutor(DECODER_THREADS) as pool:
            for indices in batches:
                yield torch.stack([image for image, _ in pool.map(source.item, indices.tolist())])

    def _check(self, images: Tensor) -> Tensor:
        expected = (self._image.channels, self._image.height, self._image.width)
        if images.dtype != torch.uint8 or tuple(images.shape[1:]) != expected:
            given = f"{images.dtype} {list(images.shape[1:])}"
            raise DataError(f"dataset '{self._name}' contains {given}; expected uint8 {list(expected)}")
        return images
