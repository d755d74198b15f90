"""Images of a folder to be scored: found recursively, checked by their headers, decoded in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from ..data.files.decoding import decode_image, open_image, upright_size
from ..data.files.image_files import Folder
from ..data.files.image_formats import IMAGE_SUFFIXES
from ..data.files.pixel_modes import lossy_conversion
from ..data.order import Order
from ..data.resize import Fit, resize
from ..data.threads import map_in_threads
from ..errors import DataError
from ..messages import one_line
from .extractor import BATCH
from .record import EvaluatedSource

MAX_PIXELS = 2**24  # of an image that is not resized, since a batch of them is in memory at a time


class FolderImages:
    """Images of a folder and its subfolders, except for hidden ones.

    Args:
        path: the folder.
        channels: of the real images.
        count: number of images; if the folder has more, ``seed`` chooses among them.
        seed: of the choice.
        size: height and width to resize to; None if all images have one size already.
        fit: how to resize images of another aspect ratio.

    Attributes:
        info: the folder's part of the evaluation record.
        size: height and width in pixels.
        options: empty, because sampling options do not apply to existing images.
        partners: None, because the real partner of a file is unknown.

    Raises:
        DataError: there are too few images, their sizes differ, one cannot be read, or one has more channels than the
            real images.
    """

    options: Mapping[str, Any] = {}
    partners: None = None

    def __init__(
        self,
        path: Path,
        channels: int,
        count: int,
        seed: int,
        size: tuple[int, int] | None = None,
        fit: Fit = "crop",
    ) -> None:
        self.info = EvaluatedSource(kind="folder", path=str(path))
        self._folder = Folder(path)
        names = self._folder.names()
        if not names:
            suffixes = ", ".join(IMAGE_SUFFIXES)
            raise DataError(f"{path}: contains no images ({suffixes}), and is neither a run nor a checkpoint")
        if len(names) < count:
            raise DataError(
                f"{path}: contains {len(names):,} image{'s' if len(names) > 1 else ''}, but {count:,} are needed; "
                f"add images or pass --samples {len(names)}"
            )
        indices = Order(len(names), seed).at(0, count).indices
        self._files = [names[index] for index in sorted(indices)]
        self._channels, self._fit = channels, fit
        sizes = list(map_in_threads(self._check_header, self._files))
        self.size = size or self._common_size(sizes)

    def batches(self) -> Iterator[Tensor]:
        """All images, uint8 [n c h w]. Raises: DataError: one is damaged."""
        for start in range(0, len(self._files), BATCH):
            yield torch.stack(list(map_in_threads(self._decode, self._files[start : start + BATCH])))

    def _common_size(self, sizes: list[tuple[int, int]]) -> tuple[int, int]:
        path, (height, width) = self._folder.path, sizes[0]
        for name, (h, w) in zip(self._files, sizes, strict=True):
            if (h, w) != sizes[0]:
                first, other = self._printable(self._files[0]), self._printable(name)
                shown = f"{first} is {width} x {height} and {other} is {w} x {h}"
                raise DataError(f"{path}: the images differ in size: {shown}; resize all of them with --size N")
        if height * width > MAX_PIXELS:
            raise DataError(
                f"{path}: the images are {width} x {height}; images of more than {MAX_PIXELS:,} pixels must be "
                "resized: pass --size N"
            )
        return height, width

    def _check_header(self, name: str) -> tuple[int, int]:
        """Height and width, from the header."""
        with self._open(name) as file:
            image = open_image(file)
            size = upright_size(image)
            fault = lossy_conversion(image, self._channels, "the real images have")
        if fault:
            raise DataError(f"{self._printable(name)}: {fault}, or choose other real images with --real")
        return size

    def _decode(self, name: str) -> Tensor:
        with self._open(name) as file:
            pixels = decode_image(file, self._channels, least=max(self.size))
        return resize(pixels[None], *self.size, self._fit)[0].contiguous()

    @contextmanager
    def _open(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file. Raises: DataError: it cannot be read as an image inside the block."""
        try:
            with self._folder.open(name) as file:
                yield file
        except Exception as error:  # on damaged data, Pillow raises exceptions of many types
            fault = f"cannot be read as an image: {one_line(error)}; replace or delete it"
            raise DataError(f"{self._printable(name)}: {fault}") from error

    def _printable(self, name: str) -> str:
        return repr(str(self._folder.path / name)).strip("'")
