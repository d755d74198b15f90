"""Batches of real images by their position in the endless order of the data."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..errors import DataError
from ..interfaces import Batch, DataSpec, ImageSpec, Report, no_report
from ..interfaces.data_spec import IMAGE, LABEL, data_spec
from ..recipe.sections import Loader as LoaderSettings
from .datasets import labels_of, spec_of
from .encodings.image_codec import BATCH, MAX_MEASURED, ImageCodec
from .encodings.stored_encodings import find_encodings
from .image_cache import CachedSource, Indices, Source, StreamedSource, create_source, to_device
from .image_cache import Settings as ReadSettings
from .items import read_item
from .order import Order
from .prefetch import prefetch
from .raw_batches import FLIPS, INDICES, RawBatch, RawBatches, RawReader, ReadError
from .resize import to_float
from .workers import DataWorkerError, leave_signals_to_trainer, worker_death


class Loader:
    """Batches of real images on the device, with the further fields of the data.

    Args:
        dataset: prepared.
        data: the items to return. Labels are returned only if its image has ``classes``, or if it has a ``label``.
        settings: the recipe's ``loader``.
        seed: of the run.
        device: of the batches.
        dtype: of the images and vectors.
        rank: of this process. It gets the ``rank``-th of ``world_size`` equal parts of each batch.
        world_size: the number of processes that share a batch; it divides the batch size.
        codec: encodes the images of batches; its encodings are standardized by the first images unless they are.
        report: called with the progress of decoding.

    Attributes:
        order: of the images. A field that is independent has an order of its own.

    Raises:
        DataError: the dataset is empty or smaller than a batch.
        GankitError: the encodings of ``loader.encodings`` are incomplete, or of something else.
    """

    def __init__(
        self,
        dataset: Any,
        data: DataSpec | ImageSpec,
        settings: LoaderSettings,
        seed: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        rank: int = 0,
        world_size: int = 1,
        codec: ImageCodec | None = None,
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
        self.dataset, self.data, self.settings = dataset, data_spec(data), settings
        self.count, self.device, self.dtype = count, device, dtype
        self._local_batch_size = settings.batch_size // world_size
        self._offset = rank * self._local_batch_size
        independent = self.data.independent
        together = tuple(name for name in (*self.data, LABEL) if name not in independent)
        crop = settings.crop == "random"
        blocks = getattr(dataset, "blocks", None)
        orders = [Order(count, seed, settings.flip, crop, i, blocks) for i in range(1 + len(independent))]
        self.order = orders[0]
        self._orders = list(zip((together, *((name,) for name in independent)), orders, strict=True))
        # with stored encodings, these are what is cached
        cache = settings.cache if settings.encodings is None else "none"
        read = ReadSettings(cache, settings.fit, settings.crop)
        self.source: Source = create_source(dataset, self.data, device, read, report)
        self.codec, self._encodings = codec, None
        if codec is not None:
            self._encodings = find_encodings(dataset, self.source, codec, settings, device, report)
            if codec.mean is None:
                codec.standardize(self._first_encodings(codec))
        elsewhere = () if self._encodings is None else (IMAGE,) if self._encodings.labels is None else (IMAGE, LABEL)
        read_orders = [([name for name in names if name not in elsewhere], order) for names, order in self._orders]
        self._reader = RawReader(read_orders, self.source, crop)

    def at(self, position: int, length: int) -> Batch:
        """The ``length`` images from ``position`` on, as floats [n c h w] in [-1, 1]."""
        return self._encoded(self._read(position, length))

    def stream(self, position: int) -> Iterator[Batch]:
        """This process's part of each batch from ``position`` on, without end.

        Images that are not cached are decoded by ``loader.workers`` processes.

        Raises:
            DataError: an image cannot be read.
        """
        starts = itertools.count(position + self._offset, self.settings.batch_size)
        workers = self.settings.workers
        num_workers = min(4, torch.get_num_threads()) if workers is None else workers
        decodes = isinstance(self.source, StreamedSource) and (self._encodings is None or self.data.fields)
        if decodes and num_workers > 0:
            batches = self._batches_from_workers(starts, num_workers)
        else:
            batches = (self._read(start, self._local_batch_size) for start in starts)
        if self.source.device.type == "cpu" and self.device.type != "cpu":
            batches = prefetch(batches)
        # in the thread of the step, whose settings, such as TF32, the codec follows
        return (self._encoded(batch) for batch in batches)

    def first_images(self, count: int, labels: Sequence[int] | None = None) -> Tensor:
        """The first images of the order, uint8 [n c h w].

        With ``labels``, image i is the next one of class ``labels[i]``, or black if the class has no images.
        """
        if labels is None:
            return self._images(self.order.at(0, count).indices)
        order = self.order.at(0, self.count).indices
        ordered_labels = self.labels()[order]
        by_class = {label: itertools.cycle(order[ordered_labels == label]) for label in set(labels)}
        indices = np.array([next(by_class[label], -1) for label in labels], np.int64)
        images = self._images(np.maximum(indices, 0)).clone()
        images[torch.from_numpy(indices < 0)] = 0
        return images

    def labels(self) -> Indices:
        """All classes [n]. No images are decoded if the dataset has an attribute ``labels`` or ``targets``."""
        if isinstance(self.source, CachedSource):
            return self.source.tensors[LABEL].numpy()
        if self._encodings is not None and self._encodings.labels is not None:
            return self._encodings.labels.numpy()
        known = labels_of(self.dataset)
        if known is None:
            spec = spec_of(self.dataset)
            known = np.array([int(read_item(self.dataset, i, spec, True)[LABEL]) for i in range(self.count)], np.int64)
        if len(known) != self.count:
            kind = type(self.dataset).__name__
            raise DataError(f"{kind} has {self.count:,} items, but {len(known):,} `labels` or `targets`")
        return known

    def _first_encodings(self, codec: ImageCodec) -> Iterator[Tensor]:
        """The encodings of the first images of the order, in parts, before they are standardized."""
        indices = self.order.at(0, min(MAX_MEASURED, self.count)).indices
        for part in np.split(indices, range(BATCH, len(indices), BATCH)):
            if self._encodings is not None:
                yield self._encodings.read(part, np.zeros(len(part), np.bool_))
            else:
                yield codec.raw(to_float(self._images(part)))

    def _images(self, indices: Indices) -> Tensor:
        return self.source.read(indices, [IMAGE])[IMAGE]

    def _read(self, position: int, length: int) -> Batch:
        return self._to_batch(self._reader.read(position, length))

    def _encoded(self, batch: Batch) -> Batch:
        """The batch with the encodings of its images, unless it has stored ones or the run has no codec."""
        if self.codec is None or self._encodings is not None:
            return batch
        return batch.replace(images=self.codec.encode(batch.images))

    def _to_batch(self, raw: RawBatch) -> Batch:
        encodings = None
        if self._encodings is not None:
            encodings = self._encodings.read(raw[f"{INDICES} 0"].numpy(), raw[f"{FLIPS} 0"].numpy())
            if self._encodings.labels is not None:
                raw[LABEL] = self._encodings.labels[raw[f"{INDICES} 0"]]
        raw = {name: to_device(tensor, self.device) for name, tensor in raw.items()}
        fields = {
            name: self._to_floats(raw[name], raw[f"{FLIPS} {number}"])
            for number, (names, _) in enumerate(self._orders)
            for name in names
            if name in self.data and name in raw
        }
        if self.codec is not None and encodings is not None:
            fields[IMAGE] = self.codec.standardized(to_device(encodings, self.device).to(self.dtype))
        labels = raw[LABEL] if self.data.image.classes else fields.pop(LABEL, None)
        return Batch(fields.pop(IMAGE), labels, fields)

    def _to_floats(self, values: Tensor, flips: Tensor) -> Tensor:
        """Images in [-1, 1], some of them mirrored; or vectors."""
        if values.dim() != 4:
            return values.to(self.dtype)
        if self.settings.flip:
            values = torch.where(flips[:, None, None, None], values.flip(-1), values)  # of bytes, which is fast
        return to_float(values).to(self.dtype).contiguous(memory_format=torch.channels_last)

    def _batches_from_workers(self, starts: Iterator[int], num_workers: int) -> Iterator[Batch]:
        loader: DataLoader[Any] = DataLoader(
            RawBatches(self._reader, self._local_batch_size),
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
