"""A folder of image files, as generated images: found below it, checked by their headers, decoded in batches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..data.order import Order
from ..data.resize import resize
from ..data.source import DECODERS
from ..errors import DataError
from .extractor import BATCH

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
WITHOUT_LOSS = {"L": ("L", "LA", "RGB", "RGBA"), "LA": ("LA", "RGBA"), "RGB": ("RGB", "RGBA"), "RGBA": ("RGBA",)}
PLAIN = {"1": "L", "P": "RGB", "PA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB"}


class FolderImages:
    """So many images of a folder, chosen by a seed where it holds more.

    Args:
        path: searched through all its folders; hidden files and folders are left out.
        channels: which the real images have.
        count: how many are wanted.
        seed: of the choice.
        size: height and width to bring them to; None where they have one size already.

    Raises:
        DataError: no images, too few, of unlike sizes, unreadable, or with more channels than the real ones.
    """

    def __init__(self, path: Path, channels: int, count: int, seed: int, size: tuple[int, int] | None = None) -> None:
        names = _image_files(path)
        if not names:
            raise DataError(f"{path}: holds no images ({', '.join(SUFFIXES)}), and is no run and no checkpoint")
        if len(names) < count:
            raise DataError(
                f"{path}: holds {len(names):,} image{'s' if len(names) > 1 else ''}, and {count:,} are wanted; "
                f"add images or pass --samples {len(names)}"
            )
        indices, _ = Order(len(names), seed).at(0, count)
        self._files = [names[index] for index in sorted(indices)]
        self._mode = MODES[channels]
        with ThreadPoolExecutor(DECODERS) as pool:
            sizes = list(pool.map(self._check, self._files))
        if size is None:
            for file, own in zip(self._files, sizes, strict=True):
                if own != sizes[0]:
                    shown = " and ".join(f"{f} is {w} x {h}" for f, (h, w) in ((self._files[0], sizes[0]), (file, own)))
                    raise DataError(f"{path}: the images have unlike sizes: {shown}; bring all to one with --size N")
        self.size = size or sizes[0]

    def batches(self) -> Iterator[Tensor]:
        """All images, uint8 [n c h w]. Raises: DataError: one is damaged."""
        with ThreadPoolExecutor(DECODERS) as pool:
            for start in range(0, len(self._files), BATCH):
                yield torch.stack(list(pool.map(self._read, self._files[start : start + BATCH])))

    def _check(self, file: Path) -> tuple[int, int]:
        """Height and width, by the header."""
        try:
            with Image.open(file) as image:
                mode = "RGBA" if image.has_transparency_data and image.mode != "LA" else image.mode
                mode = PLAIN.get(mode, mode)
                sideways = image.getexif().get(0x0112, 1) >= 5
                width, height = image.size
        except Exception as error:  # on damaged data, Pillow raises nearly anything
            raise _unreadable(file, error) from error
        if mode not in WITHOUT_LOSS:
            raise DataError(f"{file}: has pixels of mode {mode}; save it with 8 bits a channel")
        if self._mode not in WITHOUT_LOSS[mode]:
            raise DataError(
                f"{file}: has {len(mode)} channels ({mode}), and the real images have {len(self._mode)} "
                f"({self._mode}); convert it, or name other real images with --real"
            )
        return (width, height) if sideways else (height, width)

    def _read(self, file: Path) -> Tensor:
        try:
            with Image.open(file) as image:
                upright = ImageOps.exif_transpose(image).convert(self._mode)
            pixels = np.array(upright).reshape(upright.height, upright.width, -1)
        except Exception as error:  # as above
            raise _unreadable(file, error) from error
        return resize(torch.from_numpy(pixels).permute(2, 0, 1)[None], *self.size)[0].contiguous()


def _image_files(path: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise DataError(f"{path}: cannot be searched for images: {error}") from error

    found = []
    for folder, inner, files in os.walk(path, onerror=refuse):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        found += [Path(folder, name) for name in sorted(files) if not name.startswith(".")]
    return [file for file in found if file.suffix.lower() in SUFFIXES]


def _unreadable(file: Path, error: Exception) -> DataError:
    return DataError(f"{file}: cannot be read as an image: {error or type(error).__name__}; replace or delete it")
