"""The CIFAR-10 dataset."""

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

    `prepare` uses the first of these in the root folder: the folder ``cifar-10-batches-py/`` with verified checksums;
    ``cifar10-train.zip`` or ``cifar10-test.zip`` with one folder of images per class; the original archive
    ``cifar-10-python.tar.gz``. Otherwise it downloads that archive. Labels are the same in every case.
    Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.

    Args:
        root: folder of the data; by default ``$GANKIT_DATA_DIR``, otherwise ``data``.
        split: ``train`` or ``test``.
        download: whether missing data may be downloaded.
    """

    spec = gankit.ImageSpec(32, 32, 3)
    classes = CLASSES

    def __init__(
        self, *, root: Path | None = None, split: Literal["train", "test"] = "train", download: bool = True
    ) -> None:
        self.root = Path(root).expanduser() if root else gankit.data_root()
        self.split, self.download = split, download
        self._tensors: tuple[Tensor, Tensor] | None = None

    def source(self) -> Any:
        """The `torchvision.datasets.CIFAR10` class (or a subclass), which has the archive's URL and checksums."""
        import torchvision

        return torchvision.datasets.CIFAR10

    def prepare(self) -> None:
        """Find or download the data, and verify it.

        Raises:
            gankit.DataError: the data is missing and cannot be downloaded, or is not CIFAR-10.
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
            raise RuntimeError("the dataset is empty; call prepare() first")
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
