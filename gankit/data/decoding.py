"""Bytes of an image file to a uint8 tensor with the channels that were asked for, in bounded memory and time."""

from __future__ import annotations

import io
from typing import IO

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")  # Pillow has more, one of which starts an interpreter
MAX_PIXELS = 2**26  # what cameras of 64 megapixels make
PLENTY = 2**24  # above so many pixels, an image is halved ...
LEAST = 2048  # ... if its short side stays at least so long
BAND = 512  # rows converted at a time; even, so that bands halve as the whole does
SPARE_BYTES = 2**24  # for what is beside the pixels: profiles, previews
BYTES_A_PIXEL = 8
MAX_BYTES = 2**28
MAX_SCANS = 20  # of a JPEG of `MAX_PIXELS`; a smaller one may have more
MODE_OF = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


class DecodeError(Exception):
    """Why a file is no usable image."""


def open_image(file: IO[bytes]) -> Image.Image:
    """Read as much as tells format and size. Raises: DecodeError."""
    try:
        image = Image.open(file, formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DecodeError(f"claims more than {MAX_PIXELS:,} pixels; make it smaller") from error
    except UnidentifiedImageError as error:
        raise DecodeError(f"is no image of a known format ({', '.join(FORMATS)})") from error
    except Exception as error:  # on damaged data, Pillow raises nearly anything
        raise DecodeError(f"has no readable header: {error or type(error).__name__}") from error
    if image.width * image.height > MAX_PIXELS:
        raise DecodeError(f"claims {image.width} x {image.height} pixels, above {MAX_PIXELS:,}; make it smaller")
    return image


def decode_image(file: IO[bytes], channels: int, least: int = LEAST) -> Tensor:
    """As `decode`, from a file of which no more is read than its pixels account for. Raises: DecodeError."""
    data = file.read(SPARE_BYTES)
    if len(data) == SPARE_BYTES:
        try:
            image = open_image(io.BytesIO(data))
            most = min(BYTES_A_PIXEL * image.width * image.height, MAX_BYTES)
        except DecodeError:  # in some formats the header comes last
            most = MAX_BYTES
        data += file.read(most)
        if file.read(1):
            raise DecodeError(f"holds more than {len(data):,} bytes, which its pixels do not account for")
    return decode(data, channels, least)


def decode(data: bytes, channels: int, least: int = LEAST) -> Tensor:
    """The first frame, upright as its EXIF orientation says, as uint8 [c h w].

    1 channel is luma, 2 luma and alpha, 3 RGB, 4 RGB and alpha (not premultiplied). Where no alpha is asked for,
    transparent images lie on white; 16-bit grayscale is rounded to 8. An image of more than 16 megapixels (2^24) whose
    sides are at least ``2 least`` comes in half its size, each pixel the mean of four, or what the JPEG decoder makes.

    Raises:
        DecodeError: damaged, cut short, more than 64 megapixels (2^26), or of a kind whose range is unknown.
    """
    image = open_image(io.BytesIO(data))
    _require_few_scans(image, data)
    halve = image.width * image.height > PLENTY and min(image.size) >= 2 * least
    size = image.size
    try:
        if halve:
            image.draft(None, (size[0] // 2, size[1] // 2))
            halve = image.size == size
        ImageOps.exif_transpose(image, in_place=True)
        return _tensor(_converted(image, MODE_OF[channels], halve))
    except DecodeError:
        raise
    except Exception as error:  # as above
        raise DecodeError(f"is damaged: {error or type(error).__name__}") from error


def _require_few_scans(image: Image.Image, data: bytes) -> None:
    """Each scan of a JPEG goes over all pixels, and may take next to no bytes."""
    scans = data.count(b"\xff\xda") if data.startswith(b"\xff\xd8") else 0
    if scans * image.width * image.height > MAX_SCANS * MAX_PIXELS:
        raise DecodeError(f"has {scans:,} scans of {image.width} x {image.height} pixels; save it anew")


def _converted(image: Image.Image, mode: str, halve: bool) -> Image.Image:
    """In this mode; in bands where it is large, since conversions need a multiple of an image's memory."""
    if image.width * image.height <= PLENTY:
        return _convert(image, mode)
    step = 2 if halve else 1
    converted = Image.new(mode, (-(-image.width // step), -(-image.height // step)))
    for top in range(0, image.height, BAND):
        band = _convert(image.crop((0, top, image.width, min(top + BAND, image.height))), mode, image.format)
        converted.paste(band.reduce(step), (0, top // step))
    return converted


def _convert(image: Image.Image, mode: str, form: str | None = None) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and (form or image.format) == "PNG"):
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
