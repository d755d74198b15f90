"""Reads a zip file with one folder of images per class."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import gankit

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
MAX_ENTRIES = 100_000  # CIFAR-10 has 60,000 images
MAX_IMAGE_BYTES = 2**20


def read_zip(path: Path, classes: Sequence[str], spec: gankit.ImageSpec) -> tuple[Tensor, Tensor]:
    """Read images uint8 [n 3 h w] and labels int64 [n], ordered by class, then by name.

    Args:
        path: the zip file.
        classes: the folders that it must have, and no others; their order defines the labels.
        spec: the size that every image must have.

    Raises:
        gankit.DataError: not a zip file, an unknown folder, a class without images, or a damaged image.
    """
    place = path.absolute()
    archive = gankit.open_zip(place, MAX_ENTRIES)
    labeled = sorted((_label(name, classes, place), name) for name in archive.namelist() if _is_image(name))
    present = {label for label, _ in labeled}
    if missing := [name for label, name in enumerate(classes) if label not in present]:
        raise gankit.DataError(f"{place} has no images for {', '.join(missing)}; add a folder of images for each class")
    images = np.empty((len(labeled), spec.height, spec.width, 3), np.uint8)
    # one thread: decoding such small images is mostly Python code, so threads would wait for the GIL
    for index, (_, name) in enumerate(labeled):
        images[index] = _decode(archive, name, spec, place)
    labels = torch.tensor([label for label, _ in labeled])
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), labels


def _label(name: str, classes: Sequence[str], place: Path) -> int:
    folder, *rest = PurePosixPath(name).parts
    if folder not in classes or not rest:
        raise gankit.DataError(
            f"{place}: {name!r} is not in a class folder; the top level of the zip must contain only "
            f"the folders {', '.join(classes)}"
        )
    return classes.index(folder)


def _decode(archive: zipfile.ZipFile, name: str, spec: gankit.ImageSpec, place: Path) -> NDArray[np.uint8]:
    try:
        with archive.open(name) as file:
            content = file.read(MAX_IMAGE_BYTES + 1)
        if len(content) > MAX_IMAGE_BYTES:
            raise ValueError(f"it has more than {MAX_IMAGE_BYTES:,} bytes")
        image = gankit.open_image(io.BytesIO(content))
        size = image.size
        if size == (spec.width, spec.height):
            return np.asarray(image.convert("RGB"))
    except Exception as error:  # zipfile and Pillow raise many types for damaged files
        raise gankit.DataError(f"{place}: {name!r} is damaged: {error}; replace the zip") from error
    raise gankit.DataError(
        f"{place}: {name!r} is {size[0]} x {size[1]} pixels; every image must be {spec.width} x {spec.height}"
    )


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return not hidden and path.suffix.lower() in IMAGE_SUFFIXES
