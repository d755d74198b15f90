"""Batches of real images by their position in the endless order of the data."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from ..errors import DataError
from ..interfaces import Batch, Dataset, ImageSpec, Report, no_report
from ..recipe.model import Loader as LoaderSettings
from .datasets import read_item
from .image_cache import Indices, Source, StreamedSource, create_source, to_device
from .order import Order
from .prefetch import prefetch
from .resize import to_float
from .workers import DataWorkerError, leave_signals_to_trainer, worker_death

RawBatch = tuple[Tensor, Tensor, Tensor]  # images uint8 [n c h w], labels int64 [n], whether each is mirrored [n]
ReadError = DataError | OSError | MemoryError


class Loader:
    """Batches of real images on the device.

    Args:
        dataset: prepared.
        image: the images to return; labels are returned only if it has ``classes``.
        settings: the recipe's ``loader``.
        seed: of the run.
        device: of the batches.
        dtype: of the images.
        rank: of this process. It gets the ``rank``-th of ``world_size`` equal parts of each batch.
        world_size: the number of processes that share a batch; it divides the batch size.
        report: called with the progress of decoding.

    Raises:
        DataError: the dataset is empty or smaller than a batch.
    """

    def __init__(
        self,
        dataset: Dataset,
        image: ImageSpec,
        settings: LoaderSettings,
        seed: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        rank: int = 0,
        world_size: int = 1,
        report: Report = no_report,
    ) -> None:
        count = len(dataset)
        if count == 0:
            raise DataError("the dataset is empty")
        if settings.batch_size > count:
            raise DataError(
                f"a batch of {settings.batch_size} is larger than the dataset, which has {count} "
                f"image{'s' if count != 1 else ''}; lower loader.batch_size or add images"
            )
        self.dataset, self.image, self.settings = dataset, image, settings
        self.count, self.device, self.dtype = count, device, dtype
        self._local_batch_size = settings.batch_size // world_size
        self._offset = rank * self._local_batch_size
        self.order = Order(count, seed, settings.flip)
        self.source: Source = create_source(dataset, image, settings.cache, device, report, settings.fit)

    def at(self, position: int, length: int) -> Batch:
        """The ``length`` images from ``position`` on, as floats [n c h w] in [-1, 1]."""
        return self._to_batch(_read(self.source, self.order, position, length))

    def stream(self, position: int) -> Iterator[Batch]:
        """This process's part of each batch from ``position`` on, without end.

        Images that are not cached are decoded by ``loader.workers`` processes.

        Raises:
            DataError: an image cannot be read.
        """
        starts = itertools.count(position + self._offset, self.settings.batch_size)
        workers = self.settings.workers
        num_workers = min(4, torch.get_num_threads()) if workers is None else workers
        if isinstance(self.source, StreamedSource) and num_workers > 0:
            batches = self._batches_from_workers(starts, num_workers)
        else:
            batches = (self.at(start, self._local_batch_size) for start in starts)
        on_host = isinstance(self.source, StreamedSource) or self.source.images.device.type == "cpu"
        return prefetch(batches) if on_host and self.device.type != "cpu" else batches

    def first_images(self, count: int, labels: Sequence[int] | None = None) -> Tensor:
        """The first images of the order, uint8 [n c h w].

        With ``labels``, image i is the next one of class ``labels[i]``, or black if the class has no images.
        """
        if labels is None:
            return self.source.read(self.order.at(0, count)[0])[0]
        order, _ = self.order.at(0, self.count)
        ordered_labels = self.labels()[order]
        by_class = {label: itertools.cycle(order[ordered_labels == label]) for label in set(labels)}
        indices = np.array([next(by_class[label], -1) for label in labels], np.int64)
        images = self.source.read(np.maximum(indices, 0))[0].clone()
        images[torch.from_numpy(indices < 0)] = 0
        return images

    def labels(self) -> Indices:
        """All labels [n]. No images are decoded if the dataset has an attribute ``labels``."""
        known = getattr(self.source, "labels", getattr(self.dataset, "labels", None))
        if known is None:
            known = [read_item(self.dataset, index)[1] for index in range(self.count)]
        return np.asarray(known, np.int64)

    def _to_batch(self, raw: RawBatch) -> Batch:
        images, labels, flips = (to_device(part, self.device) for part in raw)
        floats = to_float(images).to(self.dtype)
        if self.settings.flip:
            floats = torch.where(flips[:, None, None, None], floats.flip(-1), floats)
        return Batch(floats.contiguous(memory_format=torch.channels_last), labels if self.image.classes else None)

    def _batches_from_workers(self, starts: Iterator[int], num_workers: int) -> Iterator[Batch]:
        loader: DataLoader[Any] = DataLoader(
            _RawBatches(self.source, self.order, self._local_batch_size),
            batch_size=None,
            sampler=starts,
            num_workers=num_workers,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # otherwise the workers' seed is drawn from torch's global generator
            worker_init_fn=leave_signals_to_trainer,
        )
        raws = iter(loader)
        try:
            while True:
                raw = _next(raws)
                if isinstance(raw, Exception):
                    raise raw
                yield self._to_batch(raw)
        finally:
            # Ends the workers now. Collected with a traceback, they would be waited for, 5 seconds for each worker.
            del raws


def _read(source: Source, order: Order, position: int, length: int) -> RawBatch:
    indices, flips = order.at(position, length)
    images, labels = source.read(indices)
    return images, labels, torch.from_numpy(flips)


class _RawBatches(TorchDataset["RawBatch | ReadError"]):
    """Reads raw batches by position in a worker. Errors are returned, as raising adds the worker's traceback."""

    def __init__(self, source: Source, order: Order, length: int) -> None:
        self.source, self.order, self.length = source, order, length

    def __getitem__(self, position: int) -> RawBatch | ReadError:
        try:
            return _read(self.source, self.order, position, self.length)
        except (DataError, OSError, MemoryError) as error:
            return error


def _next(raws: Iterator[RawBatch | ReadError]) -> RawBatch | ReadError:
    """The next batch from the workers, or their error. Raises: DataWorkerError: a worker died."""
    try:
        return next(raws)
    except (ConnectionError, FileNotFoundError, EOFError) as error:  # the batch of a dead worker cannot be received
        raise DataWorkerError("exited unexpectedly") from error
    except RuntimeError as error:
        if (death := worker_death(error)) is not None:
            raise death from error
        raise
