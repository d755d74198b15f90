"""A dataset of the user's own image files."""

from __future__ import annotations

import itertools
import os
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

import gankit

WINDOW = 1024  # files checked between two looks at the number of damaged ones
MAX_FAULTS = 1000  # more damaged files than this have a common cause
DECODERS = 4  # threads; each may hold an image of 64 megapixels in memory
MAX_NAMED = 5  # damaged files that a message lists by name


class ImageFolder:
    """A folder or zip file of images (jpg, png, webp, bmp, tiff, the first frame of a gif) of any sizes.

    Folders at the top level are classes, labelled in the order of their names; deeper folders belong to their class.
    If the top level contains images, the dataset has no classes, even if there are folders as well. A single top folder
    that contains only folders, as is common in zip files, is skipped. Hidden files, ``__MACOSX`` and other files are
    ignored.

    Images are rotated by their EXIF orientation and converted to ``channels`` by `decode`: without an alpha channel,
    transparent images are put on white.

    Args:
        path: of the folder or zip file.
        channels: 1 grayscale, 2 grayscale and alpha, 3 RGB, 4 RGB and alpha.
        on_error: treatment of damaged files. ``refuse``: `prepare` reads the headers of all files and raises, and so
            does reading an image that turns out to be damaged. ``skip``: `prepare` decodes every file once, warns, and
            leaves the damaged ones out; `skipped` lists them.
        split: part of the images; ``train`` contains all of them while ``test_fraction`` is 0.
        test_fraction: share of the ``test`` part. A checksum of its name assigns each image, so that it keeps its part
            when other images are added or removed.

    Raises:
        ValueError: ``split: test`` without a ``test_fraction``.
    """

    def __init__(
        self,
        *,
        path: Path,
        channels: Literal[1, 2, 3, 4] = 3,
        on_error: Literal["refuse", "skip"] = "refuse",
        split: Literal["train", "test"] = "train",
        test_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        if split == "test" and test_fraction == 0:
            raise ValueError(
                "split 'test' has no images while test_fraction is 0; set test_fraction, for example to 0.1"
            )
        self.path, self.channels, self.on_error = Path(path), channels, on_error
        self.split, self.test_fraction = split, test_fraction
        self.spec = gankit.ImageSpec.any_size(channels)
        self.classes: tuple[str, ...] | None = ()  # None without class folders; empty before `prepare`
        self.skipped: tuple[str, ...] = ()
        self._files: gankit.ImageFiles | None = None
        self._names: list[str] = []
        self._labels: Tensor | None = None

    def prepare(self) -> None:
        """List the images and check them as set by ``on_error``.

        Raises:
            gankit.DataError: the path does not exist, or contains no images or damaged ones, which the message lists.
        """
        if self._files is not None:
            return
        files = gankit.open_image_files(self.path)
        everything = files.names()
        if not everything:
            raise gankit.DataError(f"{files.path} has no images ({', '.join(gankit.IMAGE_SUFFIXES)})")
        class_of = _class_folders(everything)
        names = [name for name in everything if self._is_wanted(name)]
        faults = self._faults(files, names)
        if faults:
            report = _report(files, faults, len(names))
            if self.on_error == "refuse":
                raise gankit.DataError(f"{report}; replace or delete them, or set `on_error: skip`")
            warnings.warn(f"{report}; skipped", stacklevel=2)
        self._names = [name for name in names if name not in faults]
        if not self._names:
            raise gankit.DataError(f"{files.path}: none of {len(everything)} images is left for split '{self.split}'")
        self.skipped = tuple(faults)
        self.classes = tuple(sorted(set(class_of.values()))) or None
        label_of = {name: label for label, name in enumerate(self.classes or ())}
        self._labels = torch.tensor([label_of[class_of[name]] if self.classes else 0 for name in self._names])
        self._files = files

    def _is_wanted(self, name: str) -> bool:
        held_out = zlib.crc32(name.encode(errors="surrogateescape")) < self.test_fraction * 2**32
        return held_out == (self.split == "test")

    def _faults(self, files: gankit.ImageFiles, names: list[str]) -> dict[str, str]:
        """The faults of damaged files, by name."""

        def fault(name: str) -> str:
            try:
                with files.open(name) as file:
                    gankit.open_image(file) if self.on_error == "refuse" else gankit.decode_image(file, self.channels)
            except Exception as error:  # zipfile raises many types for damaged files
                return _reason(error)
            return ""

        faults: dict[str, str] = {}
        # unlike a ThreadPool's, its threads end with the block: Python aborts if it exits while one runs C++ code
        with ThreadPoolExecutor(min(DECODERS, os.cpu_count() or 1)) as pool:
            for start in range(0, len(names), WINDOW):
                some = names[start : start + WINDOW]
                faults |= {name: text for name, text in zip(some, pool.map(fault, some), strict=True) if text}
                seen = start + len(some)
                if len(faults) > MAX_FAULTS and (self.on_error == "refuse" or 2 * len(faults) > seen):
                    raise gankit.DataError(f"{_report(files, faults, seen)}; the rest was not checked")
        return faults

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
        if self._files is None:
            raise RuntimeError("the dataset is empty; call prepare() first")
        name, label = self._names[index], int(self.labels[index])
        try:
            with self._files.open(name) as file:
                return gankit.decode_image(file, self.channels), label
        except Exception as error:  # see `_faults`
            if not self._files.path.exists():
                raise gankit.DataError(f"{self._files.path} no longer exists; restore it") from error
            fault = f"{self._files.path}: {name!r} {_reason(error)}"
            remedy = "restore it" if self.on_error == "skip" else "replace or delete it, or set `on_error: skip`"
            raise gankit.DataError(f"{fault}; {remedy}") from error


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, gankit.DecodeError) else f"cannot be read: {error}"


def _class_folders(names: list[str]) -> dict[str, str]:
    """The class of each image; empty if there are images at the top level."""
    parts = {name: name.split("/") for name in names}
    least = min(map(len, parts.values()))
    pairs = zip(min(parts.values()), max(parts.values()), strict=False)
    shared = len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))
    depth = max(0, min(least - 2, shared))
    if any(len(p) < depth + 2 for p in parts.values()):
        return {}
    return {name: p[depth] for name, p in parts.items()}


def _report(files: gankit.ImageFiles, faults: dict[str, str], total: int) -> str:
    named = "; ".join(f"{name!r} {fault}" for name, fault in list(faults.items())[:MAX_NAMED])
    more = f"; and {len(faults) - MAX_NAMED} more" if len(faults) > MAX_NAMED else ""
    return f"{files.path}: {len(faults)} of {total} images cannot be used: {named}{more}"
