"""The real images of an evaluation: brought to its size, in one order, and known by their pixels."""

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
from .record import Real

KEPT_BYTES = 2**30  # so many decoded pixels stay in memory between the fingerprint and the features
ORDER_SEED = 0  # which images, where not all are wanted: the same ones for every evaluation, whatever its seed


class RealImages:
    """The first images of a fixed permutation of a data set, resized as the loader resizes.

    Args:
        name: of the data set.
        params: of the data set.
        dataset: prepared.
        image: the size and channels of the evaluation.
        count: how many are wanted; all where there are fewer.

    Raises:
        DataError: the set is empty.
    """

    def __init__(self, name: str, params: Mapping[str, Any], dataset: Dataset, image: ImageSpec, count: int) -> None:
        if len(dataset) == 0:
            raise DataError(f"the data set '{name}' is empty: nothing to compare with")
        self._name, self._params, self._dataset, self.image = name, params, dataset, image
        self.count = min(count, len(dataset))
        chosen, _ = Order(len(dataset), ORDER_SEED).at(0, self.count)
        self._indices = np.sort(chosen) if self.count == len(dataset) else chosen

    @cached_property
    def about(self) -> Real:
        """The images, with the SHA-256 of their pixels: these are decoded and hashed when first asked for."""
        digest = hashlib.sha256(repr((self.count, self.image.channels, self.image.height, self.image.width)).encode())
        for images in self.batches():
            digest.update(np.ascontiguousarray(images.numpy()).data)
        split = str(getattr(self._dataset, "split", ""))
        return Real(
            dataset=self._name,
            params=dict(self._params),
            split=split,
            count=self.count,
            fingerprint=digest.hexdigest(),
        )

    def batches(self) -> Iterator[Tensor]:
        """All images, uint8 [n c h w] on the CPU. Raises: DataError: one cannot be read."""
        return iter(self._in_memory) if self._fits else self._read()

    @property
    def _fits(self) -> bool:
        return self.count * self.image.channels * self.image.height * self.image.width <= KEPT_BYTES

    @cached_property
    def _in_memory(self) -> list[Tensor]:
        return list(self._read())

    def _read(self) -> Iterator[Tensor]:
        parts = [self._indices[start : start + BATCH] for start in range(0, self.count, BATCH)]
        if hasattr(self._dataset, "tensors"):
            pixels, labels = self._dataset.tensors()
            cached = CachedSource(pixels, labels, self.image, torch.device("cpu"))
            return (self._checked(cached.read(part)[0]) for part in parts)
        return self._decode(parts)

    def _decode(self, parts: list[Indices]) -> Iterator[Tensor]:
        source = StreamedSource(self._dataset, self.image)
        with ThreadPoolExecutor(DECODER_THREADS) as pool:
            for part in parts:
                yield torch.stack([image for image, _ in pool.map(source.item, part.tolist())])

    def _checked(self, images: Tensor) -> Tensor:
        expected = (self.image.channels, self.image.height, self.image.width)
        if images.dtype != torch.uint8 or tuple(images.shape[1:]) != expected:
            given = f"{images.dtype} {list(images.shape[1:])}"
            raise DataError(f"the data set '{self._name}' holds {given}; expected uint8 {list(expected)}")
        return images
