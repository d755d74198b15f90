"""CIFAR-10 as image files, or the same number of synthetic images of the same size if it is missing."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ZIP = "cifar10-train.zip"


@dataclass(frozen=True)
class ImageSet:
    """Images in a zip file and, on first use of ``folder``, in a folder.

    Attributes:
        name: ``cifar10`` or ``synthetic``.
        root: the folder that contains the zip file, for ``dataset.root``.
        scratch: where the image folder is created.
    """

    name: str
    root: Path
    scratch: Path

    @property
    def zip(self) -> Path:
        return self.root / ZIP

    @cached_property
    def folder(self) -> Path:
        """The same files, with one folder per class."""
        folder = self.scratch / "folder"
        with zipfile.ZipFile(self.zip) as archive:
            archive.extractall(folder)
        return folder

    def part(self, count: int, scratch: Path) -> ImageSet:
        """The first ``count`` images, with the same number per class."""
        with zipfile.ZipFile(self.zip) as archive:
            names = sorted(name for name in archive.namelist() if not name.endswith("/"))
            chosen = [
                name
                for label in CLASSES
                for name in islice((n for n in names if n.startswith(f"{label}/")), count // len(CLASSES))
            ]
            _write(scratch / ZIP, ((name, archive.read(name)) for name in chosen))
        return ImageSet(self.name, scratch, scratch)


def find_images(root: Path, scratch: Path, count: int) -> ImageSet:
    """Find CIFAR-10 in ``root``, as a zip or in torchvision's format, or create synthetic images. At most ``count``."""
    if (root / ZIP).is_file():
        found = ImageSet("cifar10", root, scratch)
        return found if count >= 50_000 else found.part(count, scratch)
    each = count // len(CLASSES)
    if (root / "cifar-10-batches-py").is_dir():
        from torchvision.datasets import CIFAR10

        data = CIFAR10(root, train=True)
        chosen = [(label, i) for label in range(10) for i in np.flatnonzero(np.equal(data.targets, label))[:each]]
        _write(scratch / ZIP, ((f"{CLASSES[label]}/{i:05d}.png", _encode(data.data[i], "PNG")) for label, i in chosen))
        return ImageSet("cifar10", scratch, scratch)
    random = np.random.default_rng(0)
    names = (f"{label}/{number:04d}.jpg" for label in CLASSES for number in range(each))
    _write(scratch / ZIP, ((name, _encode(_smooth_noise(random), "JPEG")) for name in names))
    return ImageSet("synthetic", scratch, scratch)


def _write(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files:
            archive.writestr(name, content)


def _smooth_noise(random: np.random.Generator) -> np.ndarray:
    """An image, uint8 [32 32 3], as smooth as a photograph, so that decoding takes as long."""
    coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((32, 32), Image.Resampling.BILINEAR))


def _encode(pixels: np.ndarray, format: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()
