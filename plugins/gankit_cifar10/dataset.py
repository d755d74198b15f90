"""CIFAR-10, from wherever it is at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from torch import Tensor

import gankit

from .archive import fetch, load
from .image_zip import read_zip

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class CIFAR10:
    """CIFAR-10: 50,000 training and 10,000 test images, 32 x 32, in ten classes.

    `prepare` takes the first of these that it finds in the root folder: the verified ``cifar-10-batches-py/``;
    ``cifar10-train.zip`` or ``cifar10-test.zip`` with one folder of images a class; the original archive
    ``cifar-10-python.tar.gz``. Else it downloads that archive. The labels mean the same by every route.

    Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.

    Args:
        root: the folder that holds the data; by default ``$GANKIT_DATA_DIR``, else ``data``.
        split: which of the two sets.
        download: whether missing data may be fetched from the network.
    """

    spec = gankit.ImageSpec(32, 32, 3)
    classes = CLASSES

    def __init__(
        self, *, root: Path | None = None, split: Literal["train", "test"] = "train", download: bool = True
    ) -> None:
        self.root = Path(root).expanduser() if root else gankit.data_root()
        self.split = split
        self.download = download
        self._tensors: tuple[Tensor, Tensor] | None = None

    def source(self) -> Any:
        """The `torchvision.datasets.CIFAR10` (or a subclass) that knows the archive, its address and checksums."""
        import torchvision

        return torchvision.datasets.CIFAR10

    def prepare(self) -> None:
        """Find, or download, and verify the data.

        Raises:
            gankit.DataError: there is none and none can be had, or what is there is not CIFAR-10.
        """
        if self._tensors is not None:
            return
        source, train = self.source(), self.split == "train"
        zipped = self.root / f"cifar10-{self.split}.zip"
        found = load(self.root, train, source)
        if found is None and zipped.exists():
            found = read_zip(zipped, CLASSES, self.spec)
        self._tensors = found or fetch(self.root, train, source, self.download, zipped.name)

    def tensors(self) -> tuple[Tensor, Tensor]:
        """All images uint8 [n 3 32 32] and labels int64 [n]."""
        if self._tensors is None:
            raise RuntimeError("the data set is empty until prepare() is called")
        return self._tensors

    @property
    def labels(self) -> Tensor:
        """All labels, int64 [n]."""
        return self.tensors()[1]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Image uint8 [3 32 32] and label."""
        images, labels = self.tensors()
        return images[index], int(labels[index])
