"""Bytes of an image file to a uint8 tensor with the channels that were asked for."""

from __future__ import annotations

import io
from typing import IO

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

MAX_PIXELS = 100_000_000
SPARE_BYTES = 2**24  # for what is beside the pixels: profiles, previews
BYTES_A_PIXEL = 16
MAX_BYTES = 2**28
MODE_OF = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


class DecodeError(Exception):
    """Why a file is no usable image."""


def check_header(file: IO[bytes]) -> None:
    """Read as much as tells format and size. Raises: DecodeError."""
    _open(file)


def decode_file(file: IO[bytes], channels: int) -> Tensor:
    """As `decode`, from a file of which no more is read than its pixels account for. Raises: DecodeError."""
    data = file.read(SPARE_BYTES)
    if len(data) == SPARE_BYTES:
        try:
            image = _open(io.BytesIO(data))
            most = BYTES_A_PIXEL * image.width * image.height
        except DecodeError:  # in some formats the header comes last
            most = MAX_BYTES
        data += file.read(most)
        if file.read(1):
            raise DecodeError(f"holds more than {len(data):,} bytes, which its pixels do not account for")
    return decode(data, channels)


def decode(data: bytes, channels: int) -> Tensor:
    """The first frame, upright as its EXIF orientation says, as uint8 [c h w].

    1 channel is luma, 2 luma and alpha, 3 RGB, 4 RGB and alpha (not premultiplied). Where no alpha is asked for,
    transparent images lie on white; 16-bit grayscale is rounded to 8.

    Raises:
        DecodeError: damaged, cut short, more than 100 megapixels, or of a kind whose range is unknown.
    """
    image = _open(io.BytesIO(data))
    try:
        ImageOps.exif_transpose(image, in_place=True)
        return _tensor(_convert(image, MODE_OF[channels]))
    except DecodeError:
        raise
    except Exception as error:  # on damaged data, Pillow's decoders raise nearly anything
        raise DecodeError(f"is damaged: {error or type(error).__name__}") from error


def _open(file: IO[bytes]) -> Image.Image:
    try:
        image = Image.open(file)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DecodeError(f"claims more than {MAX_PIXELS:,} pixels; make it smaller") from error
    except UnidentifiedImageError as error:
        raise DecodeError("is no image of a known format") from error
    except Exception as error:  # as in `decode`
        raise DecodeError(f"has no readable header: {error or type(error).__name__}") from error
    if image.width * image.height > MAX_PIXELS:
        raise DecodeError(f"claims {image.width} x {image.height} pixels, above {MAX_PIXELS:,}; make it smaller")
    return image


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        image = _eight_bits(image)
    elif image.mode in {"I", "F"}:
        raise DecodeError(f"has 32 bits a pixel (mode {image.mode}), of unknown range; save it with 8 or 16")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if not mode.endswith("A"):
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    elif image.mode != "L":
        image = image.convert("RGB")
    return image.convert(mode)


def _eight_bits(image: Image.Image) -> Image.Image:
    wide = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((wide + 128) // 257).astype(np.uint8))  # round(255 * wide / 65535)


def _tensor(image: Image.Image) -> Tensor:
    pixels = np.array(image)
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).permute(2, 0, 1).contiguous()
