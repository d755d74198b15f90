"""Which images can be converted to a number of channels without loss."""

from __future__ import annotations

from PIL import Image

from .decoding import MODES

LOSSLESS_TARGETS = {"L": ("L", "LA", "RGB", "RGBA"), "LA": ("LA", "RGBA"), "RGB": ("RGB", "RGBA"), "RGBA": ("RGBA",)}
"""The modes that a mode converts to without loss."""

DECODED_MODE = {"1": "L", "P": "RGB", "PA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB"}
"""The modes of decoded images, for modes of files that are converted."""


def lossy_conversion(image: Image.Image, channels: int, needs: str) -> str | None:
    """Why an image cannot be converted to a number of channels without loss; None if it can.

    Args:
        image: from `open_image`; its header is enough.
        channels: 1 to 4.
        needs: what needs them, for the message, such as ``the generator takes``.
    """
    mode = "RGBA" if image.has_transparency_data and image.mode != "LA" else image.mode
    mode = DECODED_MODE.get(mode, mode)
    if mode not in LOSSLESS_TARGETS:
        return f"has pixel mode {mode}; save it with 8 bits per channel"
    if MODES[channels] not in LOSSLESS_TARGETS[mode]:
        return f"has {len(mode)} channels ({mode}), but {needs} {channels} ({MODES[channels]}); convert it"
    return None
