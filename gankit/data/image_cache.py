"""Where decoded images come from: a tensor that holds the whole set, or the data set itself, again and again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import DataError
from ..interfaces import Dataset, ImageSpec
from .resize import resize

CACHE_LIMIT_BYTES = 4 * 2**30  # with ``cache: auto``, a set that is larger is decoded again each epoch
DEVICE_LIMIT_BYTES = 2**30  # and one that is no larger than this lies on the device
DECODERS = 4

Indices = NDArray[np.int64]


class Source(Protocol):
    """Decoded images by index."""

    def read(self, indices: Indices) -> tuple[Tensor, Tensor]:
        """Images uint8 [n c h w] of the run's size and labels int64 [n]."""


class CachedSource:
    """The whole set as one uint8 tensor: at its native size where that is smaller, else at the run's."""

    def __init__(self, images: Tensor, labels: Tensor, image: ImageSpec, device: torch.device) -> None:
        self.image = image
        self.images = images.to(device)
        self.labels = labels

    def read(self, indices: Indices) -> tuple[Tensor, Tensor]:
        chosen = torch.from_numpy(indices)
        if self.images.device.type == "cuda":
            chosen_there = chosen.pin_memory().to(self.images.device, non_blocking=True)  # nobody waits for it
        else:
            chosen_there = chosen.to(self.images.device)
        images = self.images[chosen_there]
        return resize(images, self.image.height, self.image.width), self.labels[chosen]


class StreamedSource:
    """Each image decoded and resized when it is asked for."""

    def __init__(self, dataset: Dataset, image: ImageSpec) -> None:
        self.dataset = dataset
        self.image = image

    def read(self, indices: Indices) -> tuple[Tensor, Tensor]:
        items = [self.item(int(index)) for index in indices]
        return torch.stack([image for image, _ in items]), torch.tensor([label for _, label in items])

    def item(self, index: int) -> tuple[Tensor, int]:
        """One image uint8 [c h w] of the run's size, and its label."""
        image, label = self.dataset[index]
        if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != self.image.channels:
            raise DataError(
                f"image {index} of the data set is {image.dtype} {list(image.shape)}; "
                f"expected uint8 [{self.image.channels} h w]"
            )
        return resize(image[None], self.image.height, self.image.width)[0], label


def open_source(
    dataset: Dataset, image: ImageSpec, cache: Literal["auto", "device", "memory", "none"], device: torch.device
) -> Source:
    """The source that ``loader.cache`` asks for.

    ``auto`` keeps a set of up to 1 GiB on the device and one of up to 4 GiB in memory. Images lie there at their
    native size where that is smaller than the run's, and are resized each time they are used: on two CPU cores that
    costs a DCGAN's step less than half a percent, and CIFAR-10 takes 154 MB and not 614 at 64 px.

    Raises:
        DataError: the set does not hold what its spec says.
    """
    streamed = StreamedSource(dataset, image)
    spec = dataset.spec
    resized = image.channels * image.height * image.width
    native = resized if spec.height is None else spec.channels * spec.height * spec.width
    whole = min(native, resized) * len(dataset)
    if cache == "none" or (cache == "auto" and whole > CACHE_LIMIT_BYTES):
        return streamed
    on_device = cache == "device" or (cache == "auto" and whole <= DEVICE_LIMIT_BYTES)
    home = device if on_device else torch.device("cpu")
    if native <= resized and hasattr(dataset, "tensors"):
        images, labels = dataset.tensors()
        expected = (len(dataset), spec.channels, spec.height, spec.width)
        if spec.height is not None and (tuple(images.shape) != expected or images.dtype != torch.uint8):
            raise DataError(f"the data set holds {images.dtype} {list(images.shape)}; expected uint8 {list(expected)}")
        return CachedSource(images, labels, image, home)
    return CachedSource(*_decode_all(streamed, len(dataset)), image, home)


def _decode_all(source: StreamedSource, count: int) -> tuple[Tensor, Tensor]:
    image = source.image
    images = torch.empty((count, image.channels, image.height, image.width), dtype=torch.uint8)
    labels = torch.empty(count, dtype=torch.int64)
    with ThreadPoolExecutor(DECODERS) as pool:
        for index, (pixels, label) in enumerate(_in_windows(pool, source, count)):
            images[index], labels[index] = pixels, label
    return images, labels


def _in_windows(pool: ThreadPoolExecutor, source: StreamedSource, count: int) -> Iterator[tuple[Tensor, int]]:
    """Items in order, a bounded number of them decoded ahead."""
    window = 256
    for start in range(0, count, window):
        yield from pool.map(source.item, range(start, min(count, start + window)))
