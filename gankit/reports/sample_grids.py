"""Samples of several runs in one picture, each grid under its run's name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..errors import GankitError
from ..files import whole_file
from ..sampling.image_grid import make_grid

TEXT_SIZE = 16
MARGIN = 12
INK, PAPER, PALE = "#333333", "white", "#888888"


def save_sample_grids(samples: Mapping[str, Tensor | str], path: Path) -> None:
    """Write a PNG.

    Args:
        samples: by label: images uint8 [n c h w], or a sentence for a run that has none.

    Raises:
        GankitError: the file cannot be written.
    """
    font = ImageFont.load_default(TEXT_SIZE)
    panels = [(label, _panel(given, font)) for label, given in samples.items()]
    widths = [max(panel.width, _width(label, font)) for label, panel in panels]
    top = 2 * MARGIN + TEXT_SIZE
    height = top + max(panel.height for _, panel in panels) + MARGIN
    picture = Image.new("RGB", (MARGIN + sum(width + MARGIN for width in widths), height), PAPER)
    draw = ImageDraw.Draw(picture)
    left = MARGIN
    for (label, panel), width in zip(panels, widths, strict=True):
        draw.text((left, MARGIN), label, fill=INK, font=font)
        picture.paste(panel, (left, top), panel)
        left += width + MARGIN
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            picture.save(temporary, format="PNG")
    except OSError as error:
        raise GankitError(f"{path}: cannot be written: {error.strerror or error}") from None


def _panel(given: Tensor | str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> Image.Image:
    if isinstance(given, str):
        panel = Image.new("RGBA", (_width(given, font) + 1, 2 * TEXT_SIZE))
        ImageDraw.Draw(panel).text((0, 0), given, fill=PALE, font=font)
        return panel
    return Image.fromarray(make_grid(given).squeeze(-1).numpy()).convert("RGBA")


def _width(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> int:
    return int(font.getlength(text)) + 1
