"""Writes images as a grid or an animation. Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..data.files.image_formats import IMAGE_SUFFIXES, UNSUPPORTED_SUFFIXES
from ..data.items import describe_value
from ..errors import GankitError
from ..files import output_file
from .video import save_mp4

FORMATS = {"png": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "webp": "WebP", "tif": "TIFF", "tiff": "TIFF"}
ANIMATED_FORMATS = {"gif": "GIF", "webp": "WebP", "mp4": "MP4"}
QUALITY = {"JPEG": {"quality": 95}, "WebP": {"quality": 95}}  # by default, these show artifacts
PADDING = 2  # pixels around each image: black, or transparent with an alpha channel
MIN_LONG_SIDE = 64  # pixels; smaller images are enlarged to be visible


def require_image_format(path: Path, animated: bool = False) -> str:
    """The format that the file's suffix names, such as ``PNG``.

    Args:
        path: the file to write.
        animated: whether to write an animation.

    Raises:
        GankitError: no such format can be written.
    """
    formats = ANIMATED_FORMATS if animated else FORMATS
    if (found := formats.get(path.suffix.lower().removeprefix("."))) is None:
        known = ", ".join(f".{suffix}" for suffix in formats)
        what = "an animation" if animated else "an image"
        given = f"has the suffix {path.suffix}" if path.suffix else "has no suffix"
        raise GankitError(f"{path}: {given}; {what} is written as {known}")
    return found


def is_picture(path: Path) -> bool:
    """Whether a path to write to is that of a picture or animation, by its suffix, and not that of a folder."""
    suffixes = {*IMAGE_SUFFIXES, *UNSUPPORTED_SUFFIXES, *(f".{suffix}" for suffix in {**FORMATS, **ANIMATED_FORMATS})}
    return path.suffix.lower() in suffixes and not path.is_dir()


def enlargement(height: int, width: int) -> int:
    """The integer factor that brings the longer side of a small image to at least `MIN_LONG_SIDE` pixels."""
    return max(1, -(-MIN_LONG_SIDE // max(height, width)))


def make_grid(images: Tensor, columns: int | None = None, enlarge: bool = True) -> Tensor:
    """Arrange images in a grid, row by row.

    Args:
        images: uint8 [n c h w].
        columns: the number of images in a row; None makes the grid approximately square.
        enlarge: whether to repeat the pixels of small images.

    Returns:
        uint8 [h w c].

    Raises:
        ValueError: the images are of another type or shape, or there are none.
    """
    if images.dtype != torch.uint8 or images.dim() != 4 or not images.numel() or (columns is not None and columns < 1):
        given = describe_value(images) + ("" if columns is None else f" and {columns} columns")
        raise ValueError(f"a grid consists of images, uint8 [n c h w], in at least one column; got {given}")
    images = images.cpu()
    scale = enlargement(*images.shape[-2:]) if enlarge else 1
    images = images.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)
    count, channels, height, width = images.shape
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    rows = -(-count // columns)
    cell_height, cell_width = height + PADDING, width + PADDING
    grid = images.new_zeros(rows * cell_height + PADDING, columns * cell_width + PADDING, channels)
    for index, image in enumerate(images):
        top, left = PADDING + index // columns * cell_height, PADDING + index % columns * cell_width
        grid[top : top + height, left : left + width] = image.permute(1, 2, 0)
    return grid


def save_grid(images: Tensor, path: str | Path, columns: int | None = None) -> None:
    """Write images as one PNG, JPEG, WebP or TIFF, as the suffix says, arranged by `make_grid`.

    Args:
        images: uint8 [n c h w]; 1 channel is gray, 2 are gray and alpha, 3 RGB, 4 RGBA.
        path: the file.
        columns: as in `make_grid`.

    Raises:
        GankitError: the suffix names no such format, or the file cannot be written.
        ValueError: as in `make_grid`.
    """
    save_image(to_pillow(make_grid(images, columns)), Path(path), require_image_format(Path(path)))


def save_animation(frames: Sequence[Tensor], path: str | Path, frames_a_second: int = 20) -> None:
    """Write a GIF or WebP that repeats forever, or an MP4 (H.264).

    Args:
        frames: uint8 [h w c] of one size.
        path: the file.
        frames_a_second: the frame rate.

    Raises:
        GankitError: the suffix is another one, the file cannot be written, or an MP4 lacks the package av.
    """
    form = require_image_format(Path(path), animated=True)
    if form == "MP4":
        save_mp4(frames, Path(path), frames_a_second)
        return
    first, *others = (to_pillow(frame) for frame in frames)
    milliseconds = round(1000 / frames_a_second)
    save_image(first, Path(path), form, save_all=True, append_images=others, duration=milliseconds, loop=0)


def to_pillow(image: Tensor) -> Image.Image:
    """A Pillow image of pixels uint8 [h w c]."""
    return Image.fromarray(image.squeeze(-1).numpy())


def save_image(image: Image.Image, path: Path, form: str, **settings: Any) -> None:
    """Write a Pillow image in the format ``form``, with Pillow's settings of it.

    Raises:
        GankitError: the file cannot be written, or the image is too large for the format.
    """
    with output_file(path) as temporary:
        try:
            image.save(temporary, format=form, **{**QUALITY.get(form, {}), **settings})
        except ValueError as error:
            raise GankitError(
                f"{path}: {image.width:,} x {image.height:,} pixels cannot be written as {form} ({error}); "
                "write a PNG, or fewer images"
            ) from None
