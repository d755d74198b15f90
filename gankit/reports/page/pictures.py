"""The pictures of a page, embedded as ``data:`` URIs within a limit of bytes."""

from __future__ import annotations

import base64
import io
import os
import re
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from ...data.files.decoding import open_image
from ...files import open_regular
from ...runs.file_names import REPORT_PICTURES

REAL = "real.webp"
NEIGHBORS = "neighbors.webp"
NEIGHBORS_RECORD = "neighbors.json"
MAX_PICTURES = 50  # of samples on a page
MAX_PICTURE_BYTES = 2**21  # of a file that is embedded unchanged
MAX_CHARACTERS = 12_000_000  # of all samples on a page, in base64
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
    return _named(directory, f"{REPORT_PICTURES}/step-*.webp", _SAMPLES, False)


def pictures_over_time(directory: Path) -> list[SamplePicture]:
    """At most 50 pictures, oldest first: those of `sample_pictures`, or else of ``sample_images``."""
    pictures = sample_pictures(directory) or _named(directory, FALLBACK, _EPOCH, True)
    last = len(pictures) - 1
    shown = {round(index * last / (MAX_PICTURES - 1)) for index in range(MAX_PICTURES)} if last > 0 else {0}
    return [picture for index, picture in enumerate(pictures) if index in shown]


def embed_samples(directory: Path) -> list[tuple[SamplePicture, str]]:
    """Pictures over time and their ``data:`` URIs, oldest first. While they are too large, every second is left out."""
    uris = ((picture, data_uri(picture.path)) for picture in pictures_over_time(directory))
    found = [(picture, uri) for picture, uri in uris if uri is not None]
    while len(found) > 2 and sum(len(uri) for _, uri in found) > MAX_CHARACTERS:
        found = [*found[:-1:2], found[-1]]
    return found


def own_picture(directory: Path, *names: str) -> str | None:
    """The first of these pictures in a run directory, as a ``data:`` URI; None if there is none.

    Links are not followed: a run directory from elsewhere could name any picture of the user.
    """
    paths = [directory / name for name in names]
    return next((uri for path in paths if not _is_link(path, directory) and (uri := data_uri(path))), None)


def data_uri(path: Path, max_side: int | None = None) -> str | None:
    """A picture as a ``data:`` URI; None if the file is missing or not a picture.

    Small WebP files are embedded unchanged; everything else is decoded and encoded again.

    Args:
        path: the file.
        max_side: reduce the picture to this number of pixels per side, at most; None keeps its size.
    """
    try:
        with open_regular(path) as file, open_image(file) as image:
            is_small = os.fstat(file.fileno()).st_size <= MAX_PICTURE_BYTES
            if max_side is None and image.format == "WEBP" and is_small:
                file.seek(0)
                return picture_uri(file.read())
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


def _is_link(path: Path, directory: Path) -> bool:
    """Whether a path in a directory, or a folder between the two, is a symbolic link."""
    return path != directory and (path.is_symlink() or _is_link(path.parent, directory))


def _named(directory: Path, glob: str, pattern: re.Pattern[str], is_epoch: bool) -> list[SamplePicture]:
    paths = [path for path in directory.glob(glob) if path.is_file() and not _is_link(path, directory)]
    matches = [(path, match) for path in paths if (match := pattern.fullmatch(path.name))]
    return sorted((SamplePicture(path, int(match[1]), is_epoch) for path, match in matches), key=lambda p: p.step)
