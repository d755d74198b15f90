"""Grids of images as picture files."""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from .errors import GankitError

PADDING = 2
SMALL = 48  # images with a shorter side are drawn at twice their size, so that people can see them
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def save_grid(images: Tensor, path: Path, columns: int | None = None) -> None:
    """Write images uint8 [n c h w] as one picture, row by row; pixels are shown as they are, never rescaled.

    Args:
        images: of 1 to 4 channels.
        path: its suffix says the format; written whole or not at all.
        columns: images in a row; None makes the grid nearly square.

    Raises:
        GankitError: the file cannot be written.
    """
    count, channels, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    grid = torch.zeros(
        (channels, rows * (height + PADDING) + PADDING, columns * (width + PADDING) + PADDING), dtype=torch.uint8
    )
    for index, image in enumerate(images):
        top = PADDING + index // columns * (height + PADDING)
        left = PADDING + index % columns * (width + PADDING)
        grid[:, top : top + height, left : left + width] = image
    pixels = grid.permute(1, 2, 0).contiguous().numpy()
    picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels, MODES[channels])
    if min(height, width) < SMALL:
        picture = picture.resize((picture.width * 2, picture.height * 2), Image.Resampling.NEAREST)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(temporary)
        temporary.replace(path)
    except (OSError, ValueError) as error:
        raise GankitError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from None
    finally:
        temporary.unlink(missing_ok=True)
