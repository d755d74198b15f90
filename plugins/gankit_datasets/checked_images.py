"""Finds, checks and reads the images of a folder or zip, and says in one sentence what is wrong with them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from torch import Tensor

import gankit

from .scan_summary import count_ignored, unsupported_images

Channels = Literal[1, 2, 3, 4]
OnError = Literal["refuse", "skip"]
Split = Literal["train", "test"]


def require_test_part(split: Split, test_fraction: float) -> None:
    """Raises: ValueError: ``split: test`` without a ``test_fraction``."""
    if split == "test" and test_fraction == 0:
        raise ValueError("split 'test' has no images while test_fraction is 0; set test_fraction, for example to 0.1")


def is_in_split(name: str, split: Split, test_fraction: float) -> bool:
    """Whether a split contains an image. A checksum of the name decides, so that other images do not matter."""
    held_out = zlib.crc32(name.encode(errors="surrogateescape")) < test_fraction * 2**32
    return held_out == (split == "test")


def find_images(
    path: Path, on_error: OnError, report: gankit.Report, is_wanted: Callable[[str], bool] = lambda name: True
) -> gankit.ImageScan:
    """Scan a folder or zip. Raises: gankit.DataError: it does not exist, or has no images."""
    found = gankit.scan_images(gankit.open_image_files(path), is_wanted, on_error == "skip", report)
    if not found.images:
        raise gankit.DataError(_nothing_found(found))
    return found


def refuse_damaged(found: gankit.ImageScan, on_error: OnError) -> None:
    """Raises: gankit.DataError: images are damaged, unless they are skipped."""
    if found.faults and on_error == "refuse":
        raise gankit.DataError(f"{found.describe_faults()}; replace or delete them, or set `on_error: skip`")


def read_image(files: gankit.ImageFiles, name: str, channels: int, on_error: OnError) -> Tensor:
    """An image uint8 [c h w] in its original size. Raises: gankit.DataError: the file is damaged."""
    try:
        with files.open(name) as file:
            return gankit.decode_image(file, channels)
    except Exception as error:  # zipfile raises many types for damaged files
        if not files.path.exists():
            raise gankit.DataError(f"{files.path} no longer exists; restore it") from error
        reason = error if isinstance(error, gankit.DecodeError) else f"cannot be read: {error}"
        advice = "replace or delete it" + (", or set `on_error: skip`" if on_error == "refuse" else " and resume")
        if isinstance(error, FileNotFoundError):
            advice = "restore it"
        raise gankit.DataError(f"{files.path}: {name!r} {reason}; {advice}") from error


def _nothing_found(found: gankit.ImageScan) -> str:
    ignored = f"; it has {count_ignored(found.ignored)}" if found.ignored else ""
    advice = f"; {sentence}" if (sentence := unsupported_images(found)) else ""
    return f"{found.files.path} has no images ({', '.join(gankit.IMAGE_SUFFIXES)}){ignored}{advice}"
