"""Decodes an image file to a uint8 tensor in bounded memory and time."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import IO, NamedTuple

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile
from torch import Tensor

from .image_formats import FORMATS, PREFIX_BYTES, recognize

MAX_PIXELS = 2**26  # enough for a camera of 64 megapixels
LARGE_PIXELS = 2**24  # an image of more pixels than this is halved ...
MIN_SIDE = 2048  # ... if its short side keeps at least this many pixels
BAND_ROWS = 512  # rows converted at a time; even, so that halving bands equals halving the whole image
OVERHEAD_BYTES = 2**24  # for everything but pixels, such as color profiles and previews
USUAL_BYTES = 2**18  # of a file; Python takes memory for as many bytes as it is told to read
BYTES_PER_PIXEL = 8
MAX_BYTES = 2**28
COPIED_PIXELS = 2**18  # copied from Pillow at a time, which reuses memory instead of mapping new pages for each image
MAX_SCANS = 20  # of a JPEG with `MAX_PIXELS`; a smaller one may have more
WHITE_IS_ZERO = 0  # TIFF's photometric interpretation
STORED_GRAY = {"L;2": 85, "L;4": 17}  # PNG samples of 2 and 4 bits, and the factor that makes them 8 bits
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # by the number of channels


class DecodeError(Exception):
    """Why a file cannot be used as an image. The message continues a sentence that begins with the file's name."""


def open_image(file: IO[bytes]) -> Image.Image:
    """Read the header of an image: its format and size. Pixels are decoded later.

    Raises:
        DecodeError: the header is damaged, the format is not supported, or the image is larger than 64 megapixels.
    """
    try:
        image = Image.open(file, formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DecodeError(f"claims more than {MAX_PIXELS:,} pixels; make it smaller") from error
    except Exception as error:  # Pillow raises almost any exception on damaged data
        file.seek(0)
        kind = recognize(file.read(PREFIX_BYTES))
        if kind == "HEIC":
            raise DecodeError("is a HEIC image, which is not supported; convert it to JPEG or PNG") from error
        if isinstance(error, UnidentifiedImageError) and kind == "TIFF":
            raise DecodeError("is a damaged TIFF or has pixels in an unsupported layout; save it again") from error
        if isinstance(error, UnidentifiedImageError):
            raise DecodeError(f"is not an image in a supported format ({', '.join(FORMATS)})") from error
        raise DecodeError(f"has no readable header: {error or type(error).__name__}") from error
    if image.width * image.height > MAX_PIXELS:
        raise DecodeError(f"claims {image.width} x {image.height} pixels, above {MAX_PIXELS:,}; make it smaller")
    return image


def upright_size(image: Image.Image, header_only: bool = False) -> tuple[int, int]:
    """Height and width of an image from `open_image` after it is rotated by its EXIF orientation.

    Args:
        image: not decoded yet.
        header_only: ignore EXIF data after the pixels of a PNG, which is found by decoding them.
    """
    exif = Image.Image.getexif(image) if header_only else image.getexif()
    rotated = exif.get(ExifTags.Base.Orientation, 1) >= 5
    if isinstance(image, TiffImageFile):  # recent versions of Pillow give the rotated size
        rotated = rotated and image.width == image.tag_v2.get(ExifTags.Base.ImageWidth)
    return (image.width, image.height) if rotated else (image.height, image.width)


def decode_image(file: IO[bytes], channels: int, least: int = MIN_SIDE) -> Tensor:
    """Like `decode`, but read the file only up to the number of bytes that its pixels can need.

    Args:
        file: opened for reading.
        channels: 1 to 4.
        least: images whose short side is at least twice as long may be halved.

    Returns:
        uint8 [c h w].

    Raises:
        DecodeError: as in `decode`, or the file is larger than its pixels can need.
    """
    return decode(_read(file), channels, least)


def verify_image(file: IO[bytes]) -> int:
    """Decode an image without keeping its pixels, with the checks of `decode_image`.

    JPEGs are decoded at an eighth of their size, for which the decoder still reads all of their data. This takes half
    of the time.

    Returns:
        The largest value of the image's pixels on white, in [0, 255].

    Raises:
        DecodeError: as in `decode_image`.
    """
    image = _decoded(_read(file), "RGB", MIN_SIDE, draft=8)
    return max(highest for _, highest in image.getextrema())  # type: ignore[misc]  # of RGB, a pair for each channel


def _read(file: IO[bytes]) -> bytes:
    """The content. Raises: DecodeError: it is larger than the image's pixels can need."""
    data = file.read(USUAL_BYTES)
    if len(data) == USUAL_BYTES:
        data += file.read(OVERHEAD_BYTES - USUAL_BYTES)
    if len(data) == OVERHEAD_BYTES:
        try:
            image = open_image(io.BytesIO(data))
            limit = min(BYTES_PER_PIXEL * image.width * image.height, MAX_BYTES)
        except DecodeError:  # some formats have the header at the end
            limit = MAX_BYTES
        data += file.read(limit)
        if file.read(1):
            raise DecodeError(f"holds more than {len(data):,} bytes, which is too many for its pixels")
    return data


def decode(data: bytes, channels: int, least: int = MIN_SIDE) -> Tensor:
    """Decode the first frame, rotated upright by its EXIF orientation.

    One channel is luma, 2 are luma and alpha, 3 RGB, 4 RGB and alpha (not premultiplied). Without an alpha channel,
    transparent images are composited on white. 16-bit grayscale is rounded to 8 bits. An image of more than 16
    megapixels (2^24) whose sides have at least ``2 * least`` pixels is halved, by the mean of each 2 x 2 pixels or by
    the JPEG decoder.

    Returns:
        uint8 [c h w].

    Raises:
        DecodeError: the image is damaged, truncated, larger than 64 megapixels (2^26), or has pixels of unknown range.
    """
    return _to_tensor(_decoded(data, MODES[channels], least))


def _decoded(data: bytes, mode: str, least: int, draft: int = 1) -> Image.Image:
    """The upright image in a mode. ``draft``: a JPEG may be decoded at 1/``draft`` of its size."""
    image = open_image(io.BytesIO(data))
    _require_few_scans(image, data)
    halve = image.width * image.height > LARGE_PIXELS and min(image.size) >= 2 * least
    size = image.size
    try:
        levels = _gray_levels(image)
        _scale_transparency(image)
        if halve or draft > 1:
            divisor = max(draft, 2)
            image.draft(None, (max(1, size[0] // divisor), max(1, size[1] // divisor)))
            halve = halve and image.size == size
        if image.format in ("JPEG", "WEBP"):  # whose EXIF data is read without the pixels
            with suppress(SyntaxError):  # it is damaged, and the image need not be; the next call finds no EXIF data
                image.getexif()
        ImageOps.exif_transpose(image, in_place=True)
        image.load()
        return _convert_in_bands(image, mode, halve, levels)
    except (DecodeError, MemoryError):
        raise
    except Exception as error:  # Pillow raises almost any exception on damaged data
        raise DecodeError(f"is damaged: {error or type(error).__name__}") from error


def _require_few_scans(image: Image.Image, data: bytes) -> None:
    """Raises: DecodeError: a JPEG has too many scans. Each scan visits all pixels and may take only a few bytes."""
    most = MAX_SCANS * MAX_PIXELS // max(1, image.width * image.height)
    if not data.startswith(b"\xff\xd8") or data.count(b"\xda") <= most:  # fast, as it looks for one byte
        return
    scans = data.count(b"\xff\xda")
    if scans > most:
        raise DecodeError(f"has {scans:,} scans of {image.width} x {image.height} pixels; save it with fewer")


class _GrayLevels(NamedTuple):
    """The values of an image of more than 8 bits: the largest one, whether 0 is white, and the transparent one."""

    largest: int
    inverted: bool
    transparent: int | None


def _gray_levels(image: Image.Image) -> _GrayLevels | None:
    """None for an image of 8 bits or less, or of unknown range."""
    if not (image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG")):
        return None
    tags = getattr(image, "tag_v2", {})  # of a TIFF
    bits = 12 if tags.get(ExifTags.Base.BitsPerSample) == (12,) else 16
    inverted = tags.get(ExifTags.Base.PhotometricInterpretation) == WHITE_IS_ZERO
    return _GrayLevels(2**bits - 1, inverted, image.info.get("transparency"))


def _scale_transparency(image: Image.Image) -> None:
    """Scale the transparent color of a PNG to 8 bits. Pillow does so for the pixels only."""
    tiles = getattr(image, "tile", None)  # how the pixels are stored
    clear, stored_as = image.info.get("transparency"), str(tiles[0][3]) if tiles else ""
    if isinstance(clear, int) and stored_as in STORED_GRAY:
        image.info["transparency"] = clear * STORED_GRAY[stored_as]
    elif isinstance(clear, tuple) and stored_as == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in clear)


def _convert_in_bands(image: Image.Image, mode: str, halve: bool, levels: _GrayLevels | None) -> Image.Image:
    """Convert to a mode. Large images are converted in bands, as a conversion needs several times their memory."""
    if image.width * image.height <= LARGE_PIXELS:
        return _convert(image, mode, levels)
    factor = 2 if halve else 1
    converted = Image.new(mode, (-(-image.width // factor), -(-image.height // factor)))
    for top in range(0, image.height, BAND_ROWS):
        bottom = min(top + BAND_ROWS, image.height)
        band = _convert(image.crop((0, top, image.width, bottom)), mode, levels)
        converted.paste(band.reduce(factor), (0, top // factor))
    return converted


def _convert(image: Image.Image, mode: str, levels: _GrayLevels | None) -> Image.Image:
    if levels is not None:
        image = _to_8_bits(image, levels)
    elif image.mode in {"I", "F"}:
        raise DecodeError(f"has 32 bits per pixel (mode {image.mode}) of unknown range; save it with 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if not mode.endswith("A"):
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    elif image.mode not in {"L", "RGB"}:
        image = image.convert("RGB")
    return image if image.mode == mode else image.convert(mode)  # otherwise Pillow makes a copy


def _to_8_bits(image: Image.Image, levels: _GrayLevels) -> Image.Image:
    wide = np.asarray(image).astype(np.uint32)
    eight = ((wide * 255 + levels.largest // 2) // levels.largest).astype(np.uint8)
    gray = Image.fromarray(255 - eight if levels.inverted else eight)
    if levels.transparent is None:
        return gray
    return Image.merge("LA", (gray, Image.fromarray(np.where(wide == levels.transparent, 0, 255).astype(np.uint8))))


def image_to_tensor(image: Image.Image, channels: int) -> Tensor:
    """The pixels of a decoded image, converted as by `decode`: uint8 [c h w]. Raises: DecodeError: as in `decode`."""
    return _to_tensor(_convert_in_bands(image, MODES[channels], False, _gray_levels(image)))


def _to_tensor(image: Image.Image) -> Tensor:
    """The pixels, uint8 [c h w]."""
    pixels = np.empty((len(image.getbands()), image.height, image.width), np.uint8)
    rows = max(1, COPIED_PIXELS // max(1, image.width))
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        part = image if rows >= image.height else image.crop((0, top, image.width, bottom))
        for channel, band in enumerate(part.split()):
            pixels[channel, top:bottom] = np.asarray(band)
    return torch.from_numpy(pixels)
