"""Writes images as a grid or an animation. Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from ..files import output_file

PADDING = 2  # pixels around each image: black, or transparent with an alpha channel
MIN_LONG_SIDE = 64  # pixels; smaller images are enlarged to be visible


def enlargement(height: int, width: int) -> int:
    """The integer factor that brings the longer side of a small image to at least `MIN_LONG_SIDE` pixels."""
    return max(1, -(-MIN_LONG_SIDE // max(height, width)))


def make_grid(images: Tensor, columns: int | None = None) -> Tensor:
    """Arrange images in a grid, row by row. Small images are enlarged by repeating pixels.

    Args:
        images: uint8 [n c h w].
        columns: the number of images in a row; None makes the grid approximately square.

    Returns:
        uint8 [h w c].
    """
    images = images.cpu()
    scale = enlargement(*images.shape[-2:])
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
    """Write images as one PNG, arranged by `make_grid`.

    Args:
        images: uint8 [n c h w]; 1 channel is gray, 2 are gray and alpha, 3 RGB, 4 RGBA.
        path: the file.
        columns: as in `make_grid`.

    Raises:
        GankitError: the file cannot be written.
    """
    _write(_to_pillow(make_grid(images, columns)), Path(path), format="PNG")


def save_animation(frames: Sequence[Tensor], path: str | Path, frames_a_second: int = 20) -> None:
    """Write a GIF that repeats forever.

    Args:
        frames: uint8 [h w c] of one size.
        path: the file.
        frames_a_second: the frame rate.

    Raises:
        GankitError: the file cannot be written.
    """
    first, *others = (_to_pillow(frame) for frame in frames)
    milliseconds = round(1000 / frames_a_second)
    _write(first, Path(path), format="GIF", save_all=True, append_images=others, duration=milliseconds, loop=0)


def _to_pillow(image: Tensor) -> Image.Image:
    return Image.fromarray(image.squeeze(-1).numpy())


def _write(image: Image.Image, path: Path, **settings: Any) -> None:
    with output_file(path) as temporary:
        image.save(temporary, **settings)
