"""The real images of an evaluation: a fixed choice, resized, and identified by a hash of their pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..data.datasets import spec_of, split_of
from ..data.fingerprint import sha256_of_pixels
from ..data.image_cache import CachedSource, Source, StreamedSource
from ..data.items import Item, read_tensors
from ..data.order import Order
from ..data.resize import resize
from ..data.threads import map_items
from ..errors import DataError
from ..interfaces import DataSpec, ImageSpec, Report, no_report
from ..interfaces.data_spec import IMAGE, LABEL
from .extractor import BATCH
from .real_dataset import RealDataset
from .record import RealImagesInfo

MAX_CACHED_BYTES = 2**30  # decoded items kept between computing the fingerprint and the features
TASK = "reading real images"
ORDER_SEED = 0  # chooses the same images for every evaluation, whatever its seed


class RealImages:
    """The first images of a fixed permutation of a dataset, resized as the loader resizes them.

    Args:
        real: a prepared dataset.
        image: the size and channels of the evaluation.
        count: maximum number of images.
        report: called with the progress of the first reading.
        fields: of the items that images are generated from, with the image of a run, if the images are the partners of
            generated ones. They are then resized to the size of the run first, so that both show the same crop.

    Attributes:
        count: number of images.
        available: number of images of the dataset.
        image: their size and channels.

    Raises:
        DataError: the dataset is empty.
    """

    def __init__(
        self,
        real: RealDataset,
        image: ImageSpec,
        count: int,
        report: Report = no_report,
        fields: DataSpec | None = None,
    ) -> None:
        self._real, self._dataset, self._report = real, real.dataset, report
        if len(self._dataset) == 0:
            raise DataError(f"dataset '{real.name}' is empty, but real images are needed to compare with")
        self.available = len(self._dataset)
        self.count = min(count, self.available)
        self.image, self._shape = image, (self.count, image.channels, image.height, image.width)
        self._spec, self._are_partners = fields or DataSpec(image=image), fields is not None
        chosen = Order(len(self._dataset), ORDER_SEED).at(0, self.count).indices
        self._indices = np.sort(chosen) if self.count == len(self._dataset) else chosen
        self._kept: dict[int, Item] = {}

    @cached_property
    def info(self) -> RealImagesInfo:
        """The part of the evaluation record; its fingerprint is the SHA-256 of the pixels. Decodes all images."""
        inputs = hashlib.sha256()

        def pixels() -> Iterator[Tensor]:
            for items in self._read_all(self._report):
                for name in sorted(items.keys() - {IMAGE}):
                    inputs.update(f"{name} {list(items[name].shape)} {items[name].dtype}".encode())
                    inputs.update(items[name].contiguous().numpy().tobytes())
                yield self._resized(items)

        return RealImagesInfo(
            dataset=self._real.name,
            params=dict(self._real.params),
            split=self._real.split or split_of(self._dataset),
            count=self.count,
            fingerprint=sha256_of_pixels(self._shape, pixels()),
            inputs=inputs.hexdigest() if self._are_partners else None,
        )

    def batches(self) -> Iterator[Tensor]:
        """All images, uint8 [n c h w] on the CPU. Raises: DataError: one cannot be read."""
        return map(self._resized, self._read_all(no_report))

    def batch(self, number: int) -> Tensor:
        """Images of a batch, uint8 [n c h w] on the CPU; batches can be read in any order. Raises: DataError."""
        return self._resized(self.items(number))

    @property
    def batch_count(self) -> int:
        """The number of batches."""
        return len(range(0, self.count, BATCH))

    def items(self, number: int) -> Item:
        """The items of a batch, stacked: images in the size of ``fields`` if these were given. Raises: DataError."""
        if number in self._kept:
            return self._kept[number]
        indices = self._indices[number * BATCH : (number + 1) * BATCH]
        names = [*dict.fromkeys((*self._spec, LABEL))] if self._spec.image.classes else [*self._spec]
        if isinstance(self._source, CachedSource):
            items = self._source.read(indices, names)
        else:
            read = list(map_items(self._source.dataset, self._source.item, indices.tolist()))
            items = {name: torch.stack([item[name] for item in read]) for name in names}
        item_bytes = sum(values[0].numel() * values.itemsize for values in items.values())
        if self.count * item_bytes <= MAX_CACHED_BYTES:
            self._kept[number] = items
        return items

    @cached_property
    def _source(self) -> Source:
        own, fit = spec_of(self._dataset), self._real.fit
        if hasattr(self._dataset, "tensors"):
            return CachedSource(read_tensors(self._dataset, own), self._spec, torch.device("cpu"), fit)
        return StreamedSource(self._dataset, self._spec, fit)

    def _resized(self, items: Item) -> Tensor:
        return resize(items[IMAGE], self.image.height, self.image.width)

    def _read_all(self, report: Report) -> Iterator[Item]:
        if len(self._kept) == self.batch_count:  # nothing is read
            report = no_report
        done = 0
        report(TASK, done, self.count)
        for number in range(self.batch_count):
            items = self.items(number)
            yield items
            done += len(items[IMAGE])
            report(TASK, done, self.count)


def unpaired_images(real: RealDataset, size: tuple[int, int], count: int, report: Report = no_report) -> RealImages:
    """Up to ``count`` real images that generated ones are compared with as a set, in this height and width."""
    return RealImages(real, ImageSpec(*size, spec_of(real.dataset).image.channels), count, report)
