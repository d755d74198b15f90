"""A dataset of the user's own image files."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

import gankit

from .checked_images import (
    Channels,
    OnError,
    Split,
    find_images,
    is_in_split,
    read_image,
    refuse_damaged,
    require_test_part,
)
from .class_folders import Classes, find_classes
from .scan_summary import describe


class ImageFolder:
    """A folder or zip file of images (JPEG, PNG, WebP, BMP, TIFF, AVIF, the first frame of a GIF) of any sizes.

    Images are recognized by their suffix or content. Other files, hidden ones, folders of systems (``@eaDir``,
    ``__MACOSX``) and run directories of gankit are ignored; `describe` names them.

    Folders at the top level are classes, labeled in the order of their names. Images in deeper folders belong to the
    class of the top-level folder. If the top level contains images, the dataset has no classes, even if there are
    folders as well. A single top folder that contains only folders, as is common in zip files, is skipped. Folders such
    as ``train`` and ``val`` at the same level are refused, because they are not classes. Labels can also come from a
    ``dataset.json`` as written by StyleGAN's ``dataset_tool.py`` and ``gankit data pack``, or from the CSV file
    ``labels``.

    Images are rotated by their EXIF orientation and converted to ``channels`` by `decode`. Without an alpha channel,
    transparent areas become white.

    Args:
        path: path of the folder or zip file.
        channels: 1 grayscale, 2 grayscale and alpha, 3 RGB, 4 RGB and alpha.
        on_error: treatment of damaged files. ``refuse``: `prepare` reads the headers of all files and raises, and so
            does reading an image that turns out to be damaged. ``skip``: `prepare` decodes every file once and leaves
            the damaged ones out; `skipped` lists them. What it found is kept in the data folder (`gankit.data_root`),
            so that unchanged files are not decoded again.
        split: part of the images; ``train`` contains all of them while ``test_fraction`` is 0.
        test_fraction: share of the ``test`` part. A checksum of its name assigns each image, so that it keeps its part
            when other images are added or removed.
        labels: a CSV file with lines ``image,label``: in the folder or zip, or at another path. Names of images are
            relative to it or to ``path``.

    Raises:
        ValueError: ``split: test`` without a ``test_fraction``.
    """

    thread_safe = True

    def __init__(
        self,
        *,
        path: Path,
        channels: Channels = 3,
        on_error: OnError = "refuse",
        split: Split = "train",
        test_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        labels: Path | None = None,
    ) -> None:
        require_test_part(split, test_fraction)
        self.path = Path(path)
        self.channels: Channels = channels
        self.on_error: OnError = on_error
        self.split: Split = split
        self.test_fraction, self.label_file = test_fraction, labels
        self.spec = gankit.ImageSpec.any_size(channels)
        self.classes: tuple[str, ...] | None = ()  # None without class folders; empty before `prepare`
        self.skipped: tuple[str, ...] = ()
        self._found: gankit.ImageScan | None = None
        self._classes = Classes((), {})
        self._names: list[str] = []
        self._labels: Tensor | None = None

    def prepare(self, report: gankit.Report = gankit.no_report) -> None:
        """Find the images and check them as set by ``on_error``.

        Args:
            report: called with the progress.

        Raises:
            gankit.DataError: the path does not exist, or contains no images or damaged ones, which the message lists.
        """
        if self._found is not None:
            return
        found = find_images(self.path, self.on_error, report, self._is_wanted)
        path, faults = found.files.path, found.faults
        classes = find_classes(found.files, found.images, found.others, self.label_file)
        found.ignored.pop(classes.file, None)  # it is not an image, but used
        refuse_damaged(found, self.on_error)
        self._names = [name for name in found.checked if name not in faults]
        if not self._names:
            which = f"; {found.describe_faults()}" if faults else ""
            raise gankit.DataError(
                f"{path}: none of {len(found.images)} images is left for split '{self.split}'{which}"
            )
        _require_images_of_each_class(found, classes)
        self.skipped = tuple(faults)
        self.classes = classes.names or None
        label_of = {name: label for label, name in enumerate(classes.names)}
        self._labels = torch.tensor([label_of[classes.of[name]] if label_of else 0 for name in self._names])
        self._found, self._classes = found, classes

    def max_images(self) -> int:
        """The number of files, of which some may not be images. Raises: gankit.DataError: they cannot be listed."""
        return sum(map(self._is_wanted, gankit.open_image_files(self.path).listing().names))

    def describe(self) -> gankit.DataDescription:
        """The summary of `prepare`: images, classes, and which files are left out."""
        return describe(self.scan, self._classes, self._names)

    def fingerprint(self) -> str:
        """A hash of the images: their names, classes, sizes, and the first and last 16 KiB of their files.

        For zips, it contains checksums of whole files. It does not depend on the path of the folder or on time stamps.
        """
        digest = hashlib.sha256(f"{self.channels} channels, classes {self.classes}".encode(errors="surrogateescape"))
        checked = self.scan.checked
        for name in self._names:
            file = checked[name]
            line = f"\n{file.size} {file.digest} {self._classes.of.get(name, '')} {name}"
            digest.update(line.encode(errors="surrogateescape"))
        return digest.hexdigest()

    @property
    def scan(self) -> gankit.ImageScan:
        """All that `prepare` found in the folder or zip."""
        if self._found is None:
            raise RuntimeError("the dataset is empty; call prepare() first")
        return self._found

    @property
    def names(self) -> Sequence[str]:
        """The file of each item, relative to the folder or zip."""
        return self._names

    def _is_wanted(self, name: str) -> bool:
        return is_in_split(name, self.split, self.test_fraction)

    @property
    def labels(self) -> Tensor:
        """All labels, int64 [n]; zeros without classes."""
        if self._labels is None:
            raise RuntimeError("the dataset is empty; call prepare() first")
        return self._labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Image uint8 [c h w] in its original size, and its label. Raises: gankit.DataError: the file is damaged."""
        image = read_image(self.scan.files, self._names[index], self.channels, self.on_error)
        return image, int(self.labels[index])

    @property
    def held_out(self) -> Callable[[], ImageFolder]:
        """``held_out()`` returns the test part. The training data has it if ``test_fraction`` is above 0."""
        if self.split == "test" or self.test_fraction == 0:
            raise AttributeError("held_out: there is no test part")
        return self._test_part

    def _test_part(self) -> ImageFolder:
        part = ImageFolder(
            path=self.path,
            channels=self.channels,
            on_error=self.on_error,
            split="test",
            test_fraction=self.test_fraction,
            labels=self.label_file,
        )
        part.prepare()
        return part


def _require_images_of_each_class(found: gankit.ImageScan, classes: Classes) -> None:
    """Raises: gankit.DataError: all images of a class are damaged. Without them, the labels would change."""
    damaged = {name: fault for name, fault in found.faults.items() if name in classes.of}
    left = Counter(classes.of[name] for name in found.checked if classes.of and name not in damaged)
    for name, fault in damaged.items():
        if not left[classes.of[name]]:
            raise gankit.DataError(
                f"{found.files.path}: all images of class {classes.of[name]!r} are damaged: {name!r} {fault}; replace "
                "them, or delete them to train without this class"
            )
