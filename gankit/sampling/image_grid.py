"""Images side by side in one picture. Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from ..errors import GankitError
from ..files import whole_file

PADDING = 2  # black (transparent, with an alpha channel) pixels around each image
VISIBLE = 64  # images whose longer side is shorter than this many pixels are enlarged, so that people can see them


def enlargement(height: int, width: int) -> int:
    """The whole number that brings the longer side of a small image to `VISIBLE` pixels or more."""
    return max(1, -(-VISIBLE // max(height, width)))


def make_grid(images: Tensor, columns: int | None = None) -> Tensor:
    """Images uint8 [n c h w], row by row, as one picture [h w c]; pixels as they are or repeated, never blended.

    Args:
        images: of one size.
        columns: images in a row; None makes the picture nearly square.
    """
    images = images.cpu()
    scale = enlargement(*images.shape[-2:])
    images = images.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)
    count, channels, height, width = images.shape
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    rows = -(-count // columns)
    step_down, step_right = height + PADDING, width + PADDING
    picture = images.new_zeros(rows * step_down + PADDING, columns * step_right + PADDING, channels)
    for index, image in enumerate(images):
        top, left = PADDING + index // columns * step_down, PADDING + index % columns * step_right
        picture[top : top + height, left : left + width] = image.permute(1, 2, 0)
    return picture


def save_grid(images: Tensor, path: str | Path, columns: int | None = None) -> None:
    """Write `make_grid` as a PNG: grey, grey and alpha, RGB or RGBA, by the number of channels.

    Raises:
        GankitError: the file cannot be written.
    """
    _write(_image(make_grid(images, columns)), Path(path), format="PNG")


def save_animation(frames: Sequence[Tensor], path: str | Path, frames_a_second: int = 20) -> None:
    """Write pictures uint8 [h w c] of one size as a GIF that repeats for ever.

    Raises:
        GankitError: the file cannot be written.
    """
    first, *others = (_image(frame) for frame in frames)
    milliseconds = round(1000 / frames_a_second)
    _write(first, Path(path), format="GIF", save_all=True, append_images=others, duration=milliseconds, loop=0)


def _image(picture: Tensor) -> Image.Image:
    return Image.fromarray(picture.squeeze(-1).numpy())


def _write(picture: Image.Image, path: Path, **settings: Any) -> None:
    try:
        with whole_file(path) as temporary:
            picture.save(temporary, **settings)
    except OSError as error:
        raise GankitError(f"{path}: cannot be written: {error.strerror or error}") from None
