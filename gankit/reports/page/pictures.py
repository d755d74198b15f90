"""The pictures of a page, embedded as ``data:`` URIs within a limit of bytes."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from ...data.decoding import open_image
from ...runs.file_names import REPORT_PICTURES

REAL = "real.webp"
NEIGHBORS = "neighbors.webp"
NEIGHBORS_RECORD = "neighbors.json"
MAX_PICTURE_BYTES = 2**22  # of one file
MAX_TOTAL_BYTES = 12 * 2**20  # of all samples on a page; base64 adds a third
FALLBACK = "fake_samples_epoch_*.png"  # of the callback sample_images, for runs that kept no pictures for a report
FALLBACK_REAL = "real_samples.png"
MAX_SIDE = 1200  # pixels of a picture that is encoded again

_SAMPLES = re.compile(r"step-(\d{8,18})\.webp")
_EPOCH = re.compile(r"fake_samples_epoch_(\d{3,9})\.png")


class SamplePicture(NamedTuple):
    """A picture of samples.

    Attributes:
        path: the file.
        step: of the generator; the epoch if `is_epoch`.
        is_epoch: whether the picture is known by its epoch only.
    """

    path: Path
    step: int
    is_epoch: bool = False


def sample_name(step: int) -> str:
    """The file name of the samples of a step."""
    return f"step-{step:08d}.webp"


def sample_pictures(directory: Path) -> list[SamplePicture]:
    """The pictures of samples in a run directory, oldest first."""
    return _named(directory / REPORT_PICTURES, "step-*.webp", _SAMPLES, False)


def pictures_over_time(directory: Path) -> list[SamplePicture]:
    """The pictures that fit on a page, oldest first: those of `sample_pictures`, or else of ``sample_images``."""
    pictures = sample_pictures(directory) or _named(directory, FALLBACK, _EPOCH, True)
    while len(pictures) > 2 and sum(picture.path.stat().st_size for picture in pictures) > MAX_TOTAL_BYTES:
        pictures = [*pictures[:-1:2], pictures[-1]]
    return pictures


def first_existing(directory: Path, *names: str) -> Path | None:
    """The first of these files that exists in a directory."""
    return next((directory / name for name in names if (directory / name).is_file()), None)


def data_uri(path: Path, max_side: int | None = None) -> str | None:
    """A picture as a ``data:`` URI; None if the file is not a picture, or is missing.

    Small WebP files are embedded unchanged; everything else is decoded and encoded again.

    Args:
        path: the file.
        max_side: reduce the picture to this number of pixels per side, at most; None keeps its size.
    """
    try:
        content = path.read_bytes() if path.is_file() and path.stat().st_size <= MAX_PICTURE_BYTES else b""
        if max_side is None and content[:4] == b"RIFF" and content[8:12] == b"WEBP":
            return picture_uri(content)
        with path.open("rb") as file, open_image(file) as image:
            return picture_uri(encode(image, max_side or MAX_SIDE))
    except Exception:  # Pillow raises almost any exception on damaged data
        return None


def encode(image: Image.Image, max_side: int, quality: int = 85) -> bytes:
    """A picture as WebP, reduced to at most ``max_side`` pixels per side."""
    reduced = image.convert("RGBA" if "A" in image.mode or image.mode == "P" else "RGB")
    reduced.thumbnail((max_side, max_side))
    buffer = io.BytesIO()
    reduced.save(buffer, "WebP", quality=quality)
    return buffer.getvalue()


def picture_uri(content: bytes) -> str:
    """The content of a WebP file as a ``data:`` URI."""
    return f"data:image/webp;base64,{base64.b64encode(content).decode()}"


def _named(folder: Path, glob: str, pattern: re.Pattern[str], is_epoch: bool) -> list[SamplePicture]:
    found: Sequence[Path] = sorted(folder.glob(glob)) if folder.is_dir() else ()
    matches = ((path, pattern.fullmatch(path.name)) for path in found if path.is_file() and not path.is_symlink())
    return sorted(
        (SamplePicture(path, int(match[1]), is_epoch) for path, match in matches if match), key=lambda p: p.step
    )
