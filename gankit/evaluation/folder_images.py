"""A folder of image files, as generated images: found below it, checked by their headers, decoded in batches."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from ..data.decoding import MODES, decode_image, open_image
from ..data.image_cache import DECODER_THREADS
from ..data.image_files import IMAGE_SUFFIXES, Folder
from ..data.order import Order
from ..data.resize import resize
from ..errors import DataError
from .extractor import BATCH

MAX_PIXELS = 2**24  # of images that are evaluated in their own size, a batch of them at a time
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
        self._folder = Folder(path)
        names = self._folder.names()
        if not names:
            raise DataError(f"{path}: holds no images ({', '.join(IMAGE_SUFFIXES)}), and is no run and no checkpoint")
        if len(names) < count:
            raise DataError(
                f"{path}: holds {len(names):,} image{'s' if len(names) > 1 else ''}, and {count:,} are wanted; "
                f"add images or pass --samples {len(names)}"
            )
        indices, _ = Order(len(names), seed).at(0, count)
        self._files = [names[index] for index in sorted(indices)]
        self._channels, self._mode = channels, MODES[channels]
        with ThreadPoolExecutor(DECODER_THREADS) as pool:
            sizes = list(pool.map(self._check, self._files))
        if size is None:
            for file, own in zip(self._files, sizes, strict=True):
                if own != sizes[0]:
                    both = ((self._files[0], sizes[0]), (file, own))
                    shown = " and ".join(f"{self._shown(name)} is {w} x {h}" for name, (h, w) in both)
                    raise DataError(f"{path}: the images have unlike sizes: {shown}; bring all to one with --size N")
            if sizes[0][0] * sizes[0][1] > MAX_PIXELS:
                raise DataError(
                    f"{path}: the images are {sizes[0][1]} x {sizes[0][0]}, and more than {MAX_PIXELS:,} pixels are "
                    "not evaluated in their own size; bring all to a smaller one with --size N"
                )
        self.size = size or sizes[0]

    def batches(self) -> Iterator[Tensor]:
        """All images, uint8 [n c h w]. Raises: DataError: one is damaged."""
        with ThreadPoolExecutor(DECODER_THREADS) as pool:
            for start in range(0, len(self._files), BATCH):
                yield torch.stack(list(pool.map(self._read, self._files[start : start + BATCH])))

    def _check(self, name: str) -> tuple[int, int]:
        """Height and width, by the header."""
        try:
            with self._folder.open(name) as file:
                image = open_image(file)
                mode = "RGBA" if image.has_transparency_data and image.mode != "LA" else image.mode
                mode = PLAIN.get(mode, mode)
                sideways = image.getexif().get(0x0112, 1) >= 5
                width, height = image.size
        except Exception as error:  # on damaged data, Pillow raises nearly anything
            raise self._unreadable(name, error) from error
        if mode not in WITHOUT_LOSS:
            raise DataError(f"{self._shown(name)}: has pixels of mode {mode}; save it with 8 bits a channel")
        if self._mode not in WITHOUT_LOSS[mode]:
            raise DataError(
                f"{self._shown(name)}: has {len(mode)} channels ({mode}), and the real images have {len(self._mode)} "
                f"({self._mode}); convert it, or name other real images with --real"
            )
        return (width, height) if sideways else (height, width)

    def _read(self, name: str) -> Tensor:
        try:
            with self._folder.open(name) as file:
                pixels = decode_image(file, self._channels, least=max(self.size))
        except Exception as error:  # as above
            raise self._unreadable(name, error) from error
        return resize(pixels[None], *self.size)[0].contiguous()

    def _shown(self, name: str) -> str:
        return repr(str(self._folder.path / name)).strip("'")

    def _unreadable(self, name: str, error: Exception) -> DataError:
        reason = error or type(error).__name__
        return DataError(f"{self._shown(name)}: cannot be read as an image: {reason}; replace or delete it")
