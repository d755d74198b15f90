"""Items of the data by index, resized: cached in one tensor for each field, or decoded from the dataset each time."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import DataError
from ..interfaces import DataSpec, ImageSpec, Report, no_report
from ..interfaces.data_spec import IMAGE, LABEL
from .datasets import classes_of, spec_of
from .items import Item, read_item, read_tensors
from .pixel_cache import load_or_compute
from .resize import Fit, Window, resize_together
from .threads import map_items

CACHE_LIMIT_BYTES = 4 * 2**30  # ``cache: auto`` caches datasets up to this size ...
DEVICE_LIMIT_BYTES = 2**30  # ... and keeps them on the device up to this size
FLOAT_BYTES = 4
REPORT_INTERVAL = 16  # images
TASK = "decoding images"

Cache = Literal["auto", "device", "memory", "none"]
Indices = NDArray[np.int64]
Windows = NDArray[np.float64]
"""Where each image is cropped: [n 2], see `Window`."""


class Settings(NamedTuple):
    """How items are read. ``cache``, ``fit`` and ``crop`` are keys of the recipe's ``loader``."""

    cache: Cache = "auto"
    fit: Fit = "crop"
    crop: Literal["center", "random"] = "center"


class CachedSource:
    """The whole dataset in memory.

    Args:
        tensors: each field of all items and their labels, with images of one size, which are resized to ``spec`` when
            they are read.
        spec: of the items to return.
        device: where the images are kept.
        fit: how images of another aspect ratio are resized.
    """

    def __init__(self, tensors: Item, spec: DataSpec, device: torch.device, fit: Fit = "crop") -> None:
        self.spec, self.fit = spec, fit
        self.tensors = {name: tensor.to(device) if name in spec else tensor for name, tensor in tensors.items()}

    @property
    def device(self) -> torch.device:
        """Where the images are."""
        return self.tensors[IMAGE].device

    def read(self, indices: Indices, names: Collection[str], windows: Windows | None = None) -> Item:
        """The fields ``names`` of several items, stacked: images uint8 [n c h w] of the run's size."""
        rows = torch.from_numpy(indices)
        items = {name: self.tensors[name][to_device(rows, self.tensors[name].device)] for name in names}
        return _resized(items, self.spec, self.fit)


class StreamedSource:
    """Decodes and resizes each item when it is read."""

    device = torch.device("cpu")

    def __init__(self, dataset: Any, spec: DataSpec, fit: Fit = "crop") -> None:
        self.dataset, self.spec, self.fit = dataset, spec, fit
        self._own_spec, self._has_classes = spec_of(dataset), classes_of(dataset) is not None

    def read(self, indices: Indices, names: Collection[str], windows: Windows | None = None) -> Item:
        """The fields ``names`` of several items, stacked: images uint8 [n c h w] of the run's size."""
        items = [
            self._read(int(index), names, None if windows is None else windows[i]) for i, index in enumerate(indices)
        ]
        return {name: _stacked([item[name] for item in items]) for name in names}

    def item(self, index: int) -> Item:
        """One item: images uint8 [c h w] of the run's size, vectors fp32 [v], and the label.

        Raises:
            DataError: the image cannot be read, or the item is not one of `read_item`.
        """
        return self._read(index, (*self.spec, LABEL))

    def _read(self, index: int, names: Collection[str], window: NDArray[np.float64] | None = None) -> Item:
        item = read_item(self.dataset, index, self._own_spec, self._has_classes)
        batch = {name: value[None] for name, value in item.items() if name in names}
        try:
            resized = _resized(batch, self.spec, self.fit, None if window is None else (window[0], window[1]))
        except ValueError as error:
            raise DataError(f"the fields of item {index} of dataset {type(self.dataset).__name__}: {error}") from None
        return {name: value[0] for name, value in resized.items()}


def _stacked(tensors: list[Tensor]) -> Tensor:
    """The tensors in one; the channels of images [c h w] are last in memory, as in batches."""
    if tensors[0].dim() != 3:
        return torch.stack(tensors)
    shape = (len(tensors), *tensors[0].shape)
    images = torch.empty(shape, dtype=tensors[0].dtype, memory_format=torch.channels_last)
    for target, image in zip(images, tensors, strict=True):
        target.copy_(image)
    return images


def _resized(items: Item, spec: DataSpec, fit: Fit, window: Window | None = None) -> Item:
    """The items with images of the sizes in ``spec``. Images that are not independent are resized together."""
    sizes = {
        name: (field.height, field.width)
        for name, field in spec.items()
        if name in items and isinstance(field, ImageSpec)
    }
    together = sorted((name for name in sizes if name not in spec.independent), key=sizes.__getitem__, reverse=True)
    for names in (together, *([name] for name in sizes if name in spec.independent)):
        if names:
            resized = resize_together([items[n] for n in names], [sizes[n] for n in names], fit, window)
            items = {**items, **dict(zip(names, resized, strict=True))}
    return items


Source = CachedSource | StreamedSource


def create_source(
    dataset: Any, spec: DataSpec, device: torch.device, settings: Settings, report: Report = no_report
) -> Source:
    """Create the source that ``loader.cache`` asks for.

    ``auto`` keeps up to 1 GiB on the device and up to 4 GiB in main memory. Images that are natively smaller than the
    run's are cached at their native size and resized each time they are read. This costs less than 0.5% of a DCGAN's
    step on two CPU cores, and CIFAR-10 at 64 px takes 154 MB instead of 614 MB.

    Images that are decoded for the cache are kept on disk too if that takes long and the dataset has a fingerprint.
    With ``crop: random``, nothing is cached: each image is cropped anew.

    Args:
        dataset: prepared.
        spec: of the items to return.
        device: of the run.
        settings: of the recipe.
        report: called with the progress of decoding.

    Raises:
        DataError: the dataset's images differ from its spec.
    """
    streamed = StreamedSource(dataset, spec, settings.fit)
    own, count = spec_of(dataset), len(dataset)
    resized_bytes = _bytes_of_item(spec)
    native_bytes = (_bytes_of_item(own) if hasattr(dataset, "tensors") else 0) or resized_bytes
    total_bytes = min(resized_bytes, native_bytes) * count
    cache_device = place(total_bytes, settings.cache, device)
    if cache_device is None or settings.crop == "random":
        return streamed
    if native_bytes <= resized_bytes and hasattr(dataset, "tensors"):
        return CachedSource(read_tensors(dataset, own), spec, cache_device, settings.fit)
    transform = {"items": repr(spec), "fit": settings.fit}
    tensors = load_or_compute(
        dataset, "pixels", (*spec, LABEL), transform, lambda: _decode_all(streamed, count, report)
    )
    return CachedSource(tensors, spec, cache_device, settings.fit)


def place(size: int, cache: Cache, device: torch.device) -> torch.device | None:
    """Where ``size`` bytes of images or encodings are kept; None if they are read each time."""
    if cache == "none" or (cache == "auto" and size > CACHE_LIMIT_BYTES):
        return None
    on_device = cache == "device" or (cache == "auto" and size <= DEVICE_LIMIT_BYTES)
    return device if on_device else torch.device("cpu")


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device without waiting for the device, which requires pinned memory on CUDA."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=device.type == "cuda")  # MPS would read memory that is freed in the meantime


def _bytes_of_item(spec: DataSpec) -> int:
    """The bytes of an item's fields in memory; 0 if the size of an image is not known."""
    sizes = []
    for field in spec.values():
        if isinstance(field, ImageSpec):
            if field.height is None:
                return 0
            sizes.append(field.channels * field.height * field.width)
        else:
            sizes.append(FLOAT_BYTES * field.size)
    return sum(sizes)


def _decode_all(source: StreamedSource, count: int, report: Report) -> Item:
    """All items, stacked."""
    stacked: Item = {}
    for index, item in enumerate(map_items(source.dataset, source.item, range(count))):
        if index % REPORT_INTERVAL == 0:
            report(TASK, index, count)
        for name, tensor in item.items():
            if index == 0:
                stacked[name] = torch.empty((count, *tensor.shape), dtype=tensor.dtype)
            stacked[name][index] = tensor
    report(TASK, count, count)
    return stacked
