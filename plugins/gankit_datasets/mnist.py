"""The MNIST and Fashion-MNIST datasets."""

from __future__ import annotations

import tempfile
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

import gankit

from .idx import read_idx

Split = Literal["train", "test"]


class MNIST:
    """MNIST: 60,000 training and 10,000 test images of handwritten digits, 28 x 28, grayscale.

    `prepare` looks for the split's two idx files, gzipped or not, in ``MNIST/raw/`` (torchvision's folder), in
    ``mnist/`` and in the root folder, and downloads them otherwise. Files directly in the root folder are not checked
    further: MNIST and Fashion-MNIST use the same file names.

    Source: LeCun, Cortes, Burges, The MNIST Database of Handwritten Digits, 1998.

    Args:
        root: folder of the data; by default ``$GANKIT_DATA_DIR``, otherwise ``data``.
        split: ``train`` or ``test``.
        download: whether missing files may be downloaded; their md5 is verified.
    """

    title = "MNIST"
    folders = ("MNIST/raw", "mnist", ".")
    """Folders under the root that may contain the files; downloads go to the first."""
    spec = gankit.ImageSpec(28, 28, 1)
    classes: tuple[str, ...] = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")

    def __init__(self, *, root: Path | None = None, split: Split = "train", download: bool = True) -> None:
        self.root = Path(root).expanduser() if root else gankit.data_root()
        self.split, self.download = split, download
        self._tensors: tuple[Tensor, Tensor] | None = None

    def source(self) -> Any:
        """The torchvision dataset class (or a subclass), which has the URLs and checksums."""
        import torchvision

        return torchvision.datasets.MNIST

    def prepare(self) -> None:
        """Find or download the files, and check them.

        Raises:
            gankit.DataError: files are missing and cannot be downloaded, are damaged, or contain other data.
        """
        if self._tensors is not None:
            return
        prefix = "train" if self.split == "train" else "t10k"
        image_path, label_path = self._files(f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte")
        images, labels = read_idx(image_path, 3), read_idx(label_path, 1)
        if images.shape[1:] != (28, 28):
            height, width = images.shape[1:]
            raise gankit.DataError(f"{image_path.absolute()}: images of {height} x {width}; {self.title}'s are 28 x 28")
        if len(images) != len(labels) or len(labels) == 0 or int(labels.max()) >= len(self.classes):
            raise gankit.DataError(
                f"{image_path.absolute()} ({len(images)} images) and {label_path} ({len(labels)} labels) do not belong "
                f"together, or are not {self.title}; delete them and download them again"
            )
        self._tensors = images[:, None], labels.long()

    def _files(self, *names: str) -> list[Path]:
        """The files, all from the same folder; downloaded if no folder has all of them."""
        for folder in self.folders:
            found = [_present(self.root / folder / name) for name in names]
            if all(found):
                return [path for path in found if path]
        archives = [f"{name}.gz" for name in names]
        if not self.download:
            raise self._missing(archives, "`download: false` forbids downloading it", "set `download: true`")
        return [self._fetch(archive, archives) for archive in archives]

    def _fetch(self, archive: str, archives: list[str]) -> Path:
        """Download one file to a scratch folder, verify it, and move it to its place by one rename."""
        from torchvision.datasets.utils import check_integrity, download_url

        source, target = self.source(), self.root / self.folders[0] / archive
        md5 = dict(source.resources)[archive]
        if check_integrity(target, md5):  # from an interrupted download of several files
            return target
        failures = []
        for mirror in source.mirrors:
            try:
                self.root.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(prefix=".download-", dir=self.root) as scratch:
                    download_url(mirror + archive, scratch, archive, md5)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    return (Path(scratch) / archive).replace(target)
            except (OSError, RuntimeError, HTTPException, EOFError) as error:
                failures.append(f"downloading {mirror}{archive} failed: {_reason(error)}")
        raise self._missing(archives, "; ".join(failures), "try again with a working network")

    def _missing(self, archives: list[str], failure: str, remedy: str) -> gankit.DataError:
        place = self.root.absolute() / self.folders[0]
        return gankit.DataError(
            f"{self.title} is not in {self.root.absolute()}, and {failure}. Either {remedy}; or download "
            f"{' and '.join(archives)} from {self.source().mirrors[0]} in another way and put them into {place}; "
            "or set `root:` or $GANKIT_DATA_DIR to the folder that contains the files"
        )

    def tensors(self) -> tuple[Tensor, Tensor]:
        """All images uint8 [n 1 28 28] and labels int64 [n]."""
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
        """Image uint8 [1 28 28] and label."""
        images, labels = self.tensors()
        return images[index], int(labels[index])


class FashionMNIST(MNIST):
    """Fashion-MNIST: 60,000 training and 10,000 test images of clothes in ten classes, 28 x 28, grayscale.

    Files are found as for `MNIST`, in ``FashionMNIST/raw/``, ``fashion-mnist/`` and the root folder. The Debian package
    ``dataset-fashion-mnist`` contains them: ``root: /usr/share/datasets``.

    Source: Xiao, Rasul, Vollgraf, arXiv 1708.07747.

    Args:
        root: folder of the data; by default ``$GANKIT_DATA_DIR``, otherwise ``data``.
        split: ``train`` or ``test``.
        download: whether missing files may be downloaded; their md5 is verified.
    """

    title = "Fashion-MNIST"
    folders = ("FashionMNIST/raw", "fashion-mnist", ".")
    classes = (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )

    def source(self) -> Any:
        import torchvision

        return torchvision.datasets.FashionMNIST


def _present(path: Path) -> Path | None:
    candidates = (path.with_name(f"{path.name}.gz"), path)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _reason(error: BaseException) -> str:
    if type(error) is RuntimeError:  # torchvision's error for a wrong checksum
        return "the downloaded file is incomplete or altered (its md5 differs)"
    return str(getattr(error, "reason", error)) or type(error).__name__
