"""MNIST and Fashion-MNIST, from wherever they are at hand."""

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

    `prepare` looks for the two idx files of the split, gzipped or not, in ``MNIST/raw/`` (torchvision's place),
    in ``mnist/`` and in the root folder itself, else downloads them. Files that lie in the root itself are taken at
    their word: MNIST and Fashion-MNIST call theirs the same.

    Source: LeCun, Cortes, Burges, The MNIST Database of Handwritten Digits, 1998.

    Args:
        root: the folder that holds the data; by default ``$GANKIT_DATA_DIR``, else ``data``.
        split: which of the two sets.
        download: whether missing files may be fetched from the network; their md5 is verified.
    """

    title = "MNIST"
    folders = ("MNIST/raw", "mnist", ".")
    """Where the files may lie under the root; a download goes to the first."""
    spec = gankit.ImageSpec(28, 28, 1)
    classes: tuple[str, ...] = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")

    def __init__(self, *, root: Path | None = None, split: Split = "train", download: bool = True) -> None:
        self.root = Path(root).expanduser() if root else gankit.data_root()
        self.split = split
        self.download = download
        self._tensors: tuple[Tensor, Tensor] | None = None

    def source(self) -> Any:
        """The torchvision data set (or a subclass) that knows the files, their addresses and checksums."""
        import torchvision

        return torchvision.datasets.MNIST

    def prepare(self) -> None:
        """Find, or download, and check the files.

        Raises:
            gankit.DataError: they are missing and cannot be had, or damaged, or hold something else.
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
                f"{image_path.absolute()} ({len(images)} images) and {label_path} ({len(labels)} labels) do not "
                f"belong together, or are not {self.title}; delete them and fetch them again"
            )
        self._tensors = images[:, None], labels.long()

    def _files(self, *names: str) -> list[Path]:
        """The files, all from one folder; downloaded if there is no such folder."""
        for folder in self.folders:
            found = [_present(self.root / folder / name) for name in names]
            if all(found):
                return [path for path in found if path]
        archives = [f"{name}.gz" for name in names]
        if not self.download:
            raise self._missing(archives, "`download: false` forbids fetching it", "set `download: true`")
        return [self._fetch(archive, archives) for archive in archives]

    def _fetch(self, archive: str, archives: list[str]) -> Path:
        """Download one file into a scratch folder, verified, and move it to its place in one step."""
        from torchvision.datasets.utils import check_integrity, download_url

        source, target = self.source(), self.root / self.folders[0] / archive
        md5 = dict(source.resources)[archive]
        if check_integrity(target, md5):  # left by a run that was cut off between two files
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
            f"{self.title} is not in {self.root.absolute()}, and {failure}. Either {remedy}; or fetch "
            f"{' and '.join(archives)} from {self.source().mirrors[0]} by other means and put them into {place}; "
            "or name the folder that has the files, by `root:` or $GANKIT_DATA_DIR"
        )

    def tensors(self) -> tuple[Tensor, Tensor]:
        """All images uint8 [n 1 28 28] and labels int64 [n]."""
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
        """Image uint8 [1 28 28] and label."""
        images, labels = self.tensors()
        return images[index], int(labels[index])


class FashionMNIST(MNIST):
    """Fashion-MNIST: 60,000 training and 10,000 test images of clothes in ten classes, 28 x 28, grayscale.

    Found as `MNIST` is, in ``FashionMNIST/raw/``, ``fashion-mnist/`` and the root folder itself. Debian has it as the
    package ``dataset-fashion-mnist``: ``root: /usr/share/datasets``.

    Source: Xiao, Rasul, Vollgraf, arXiv 1708.07747.

    Args:
        root: the folder that holds the data; by default ``$GANKIT_DATA_DIR``, else ``data``.
        split: which of the two sets.
        download: whether missing files may be fetched from the network; their md5 is verified.
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
    if type(error) is RuntimeError:  # what torchvision raises when a checksum differs
        return "what arrived is incomplete or altered (its md5 differs)"
    return str(getattr(error, "reason", error)) or type(error).__name__
