"""Draw the samples of several runs side by side, each grid below the run's name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..sampling.image_grid import make_grid, require_image_format, save_image

TEXT_SIZE = 16  # pixels
MARGIN = 12
TEXT_COLOR, BACKGROUND, PLACEHOLDER_COLOR = "#333333", "white", "#888888"


def save_sample_grids(samples: Mapping[str, Tensor | str], path: Path) -> None:
    """Write an image file, in the format that its suffix names.

    Args:
        samples: by label: images uint8 [n c h w], or a text for a run that has none.
        path: the file.

    Raises:
        GankitError: the suffix names no format, or the file cannot be written.
    """
    form = require_image_format(path)
    font = ImageFont.load_default(TEXT_SIZE)
    panels = [(label, _panel(content, font)) for label, content in samples.items()]
    widths = [max(panel.width, _text_width(label, font)) for label, panel in panels]
    top = 2 * MARGIN + TEXT_SIZE
    height = top + max(panel.height for _, panel in panels) + MARGIN
    canvas = Image.new("RGB", (MARGIN + sum(width + MARGIN for width in widths), height), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    left = MARGIN
    for (label, panel), width in zip(panels, widths, strict=True):
        draw.text((left, MARGIN), label, fill=TEXT_COLOR, font=font)
        canvas.paste(panel, (left, top), panel)
        left += width + MARGIN
    save_image(canvas, path, form)


def _panel(content: Tensor | str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> Image.Image:
    if isinstance(content, str):
        panel = Image.new("RGBA", (_text_width(content, font) + 1, 2 * TEXT_SIZE))
        ImageDraw.Draw(panel).text((0, 0), content, fill=PLACEHOLDER_COLOR, font=font)
        return panel
    return Image.fromarray(make_grid(content).squeeze(-1).numpy()).convert("RGBA")


def _text_width(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> int:
    return int(font.getlength(text)) + 1
