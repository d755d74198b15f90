"""Batches of real images, by their position in the endless order."""

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
from ..interfaces import Batch, Dataset, ImageSpec
from ..recipe.model import Loader as LoaderSettings
from .image_cache import CachedSource, Indices, Source, StreamedSource, open_source
from .order import Order
from .prefetch import prefetch
from .resize import to_float
from .workers import DataWorkerError, leave_signals_to_trainer, worker_death

Raw = tuple[Tensor, Tensor, Tensor]  # uint8 [n c h w], labels [n], whether each is mirrored [n]
Fault = DataError | OSError | MemoryError


class Loader:
    """Real images on the device: `at` any position, or `stream`\\ ed from one on.

    Args:
        dataset: prepared.
        image: the run's size; ``image.classes`` says whether labels are wanted.
        settings: the recipe's ``loader``.
        seed: of the run.
        device: where batches go.
        dtype: of the images.
        rank: of this process; its share of each streamed batch is the ``rank``-th of ``world_size`` equal parts.
        world_size: processes that share each batch, which divides by them.

    Raises:
        DataError: the set is empty or smaller than a batch.
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
    ) -> None:
        count = len(dataset)
        if count == 0:
            raise DataError("the data set is empty")
        if settings.batch_size > count:
            raise DataError(
                f"a batch of {settings.batch_size} is larger than the data set, which has {count} "
                f"image{'s' if count != 1 else ''}; lower loader.batch_size or add images"
            )
        self.dataset, self.image, self.settings = dataset, image, settings
        self.count, self.device, self.dtype = count, device, dtype
        self._share = settings.batch_size // world_size
        self._offset = rank * self._share
        self.order = Order(count, seed, settings.flip)
        self.source: Source = open_source(dataset, image, settings.cache, device)

    def at(self, position: int, length: int) -> Batch:
        """The ``length`` images from ``position`` on."""
        return self._finish(_read(self.source, self.order, position, length))

    def stream(self, position: int) -> Iterator[Batch]:
        """This process's share of batch after batch from ``position`` on, without end.

        Decoded by workers where nothing is cached.

        Raises:
            DataError: an image cannot be read.
        """
        position += self._offset
        if isinstance(self.source, StreamedSource) and self._workers() > 0:
            batches = self._from_workers(self.source, position)
        else:
            starts = itertools.count(position, self.settings.batch_size)
            batches = (self.at(start, self._share) for start in starts)
        host_works = not isinstance(self.source, CachedSource) or self.source.images.device.type == "cpu"
        return prefetch(batches) if host_works and self.device.type != "cpu" else batches

    def real(self, count: int, labels: Sequence[int] | None = None) -> Tensor:
        """The first images of the order, uint8 [n c h w]; of the given classes, in their order, where given.

        A class of which there are no images gives black ones.
        """
        if labels is None:
            indices, _ = self.order.at(0, count)
            return self.source.read(indices)[0]
        order, _ = self.order.at(0, self.count)
        of_order = self.labels()[order]
        by_class = {k: itertools.cycle(order[of_order == k]) for k in set(labels)}
        indices = np.array([next(by_class[k], -1) for k in labels], np.int64)
        images = self.source.read(np.maximum(indices, 0))[0].clone()
        images[torch.from_numpy(indices < 0)] = 0
        return images

    def labels(self) -> Indices:
        """All labels [n], without decoding images where the set can tell."""
        known = getattr(self.source, "labels", getattr(self.dataset, "labels", None))
        if known is None:
            known = [self.dataset[index][1] for index in range(self.count)]
        return np.asarray(known, np.int64)

    def _finish(self, raw: Raw) -> Batch:
        images, labels, flips = (self._send(part) for part in raw)
        floats = to_float(images).to(self.dtype)
        if self.settings.flip:
            floats = torch.where(flips[:, None, None, None], floats.flip(-1), floats)
        wanted = labels if self.image.classes else None
        return Batch(floats.contiguous(memory_format=torch.channels_last), wanted)

    def _send(self, part: Tensor) -> Tensor:
        """To the device; nobody waits for it, since pinned memory is read while others compute."""
        if self.device.type == "cuda" and part.device.type == "cpu" and not part.is_pinned():
            part = part.pin_memory()
        return part.to(self.device, non_blocking=True)

    def _workers(self) -> int:
        given = self.settings.workers
        return min(4, torch.get_num_threads()) if given is None else given

    def _from_workers(self, source: StreamedSource, position: int) -> Iterator[Batch]:
        raws = iter(self._torch_loader(source, position))
        try:
            while True:
                yield self._finish(_unwrapped(_next(raws)))
        finally:
            del raws  # ends the workers now, and not when a traceback that holds this frame is collected

    def _torch_loader(self, source: StreamedSource, position: int) -> DataLoader[Any]:
        # a generator of its own: drawing the workers' seed must not touch the host's random state
        return DataLoader(
            _Positions(source, self.order, self._share),
            batch_size=None,
            sampler=_Starts(position, self.settings.batch_size),
            num_workers=self._workers(),
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),
            worker_init_fn=leave_signals_to_trainer,
        )


def _read(source: Source, order: Order, position: int, length: int) -> Raw:
    indices, flips = order.at(position, length)
    images, labels = source.read(indices)
    return images, labels, torch.from_numpy(flips)


class _Positions(TorchDataset["Raw | Fault"]):
    """Raw batches by their position, in a worker; a fault travels as a value, without the worker's traceback."""

    def __init__(self, source: StreamedSource, order: Order, size: int) -> None:
        self.source, self.order, self.size = source, order, size

    def __getitem__(self, position: int) -> Raw | Fault:
        try:
            return _read(self.source, self.order, position, self.size)
        except (DataError, OSError, MemoryError) as error:
            return error


class _Starts(torch.utils.data.Sampler[int]):
    """The positions at which batches start, without end."""

    def __init__(self, position: int, size: int) -> None:
        self.position, self.size = position, size

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.position, self.size)


def _next(raws: Iterator[Raw | Fault]) -> Raw | Fault:
    """The next batch of the workers. Raises: DataWorkerError: a worker died."""
    try:
        return next(raws)
    except (ConnectionError, FileNotFoundError, EOFError) as error:  # the worker's batch can no longer be fetched
        raise DataWorkerError("exited unexpectedly") from error
    except RuntimeError as error:
        raise worker_death(error) or error from error


def _unwrapped(raw: Raw | Fault) -> Raw:
    if isinstance(raw, Exception):
        raise raw
    return raw
