"""Bit depths and transparency of each format, against pixels computed by numpy.

The PNG and TIFF files are written here, as Pillow cannot write most of these formats.
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, features

from gankit.data.files.decoding import DecodeError, decode

RNG = np.random.default_rng(0)
SIZE = (5, 7)


def samples(bits: int, channels: int) -> np.ndarray:
    """Random values [h w c] with all extremes."""
    values = RNG.integers(0, 2**bits, (*SIZE, channels), dtype=np.uint32)
    values[0, :2] = [[0], [2**bits - 1]]
    return values


def packed(values: np.ndarray, bits: int, order: str) -> bytes:
    """Rows of samples [h w c], each row padded to whole bytes."""
    if bits == 16:
        return values.astype(f"{order}u2").tobytes()
    rows = values.reshape(len(values), -1)
    unpacked = ((rows[..., None] >> np.arange(bits - 1, -1, -1)) & 1).reshape(len(rows), -1).astype(np.uint8)
    return np.packbits(unpacked, axis=1).tobytes()


def png(values: np.ndarray, bits: int, color: int, *chunks: tuple[bytes, bytes]) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values.shape[:2]
    content = packed(values, bits, ">")
    stride = len(content) // height
    rows = b"".join(b"\0" + content[start : start + stride] for start in range(0, len(content), stride))
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def tiff(values: np.ndarray, bits: int, photometric: int, order: str = "<", extra: int | None = None) -> bytes:
    height, width, channels = values.shape
    data = packed(values, bits, order)
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 277: channels, 278: height}
    tags |= {279: len(data), 284: 1} | ({338: extra} if extra is not None else {})
    entries, tail, offset = b"", b"", 8 + len(data) + len(data) % 2
    start = offset + 2 + 12 * len(tags) + 4
    for tag, value in sorted(tags.items()):
        if tag == 258 and channels > 2:
            entries += struct.pack(f"{order}HHII", tag, 3, channels, start + len(tail))
            tail += struct.pack(f"{order}{channels}H", *[bits] * channels)
        elif tag == 258 and channels == 2:
            entries += struct.pack(f"{order}HHIHH", tag, 3, 2, bits, bits)
        else:
            entries += struct.pack(f"{order}HHII", tag, 4, 1, value)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", offset)
    directory = struct.pack(f"{order}H", len(tags)) + entries + bytes(4)
    return head + data + bytes(len(data) % 2) + directory + tail


def pixels(data: bytes, channels: int) -> np.ndarray:
    return decode(data, channels).permute(1, 2, 0).numpy().astype(int)


def to_8_bits(values: np.ndarray, bits: int) -> np.ndarray:
    return values * 255 / (2**bits - 1)


def on_white(color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """8-bit colors [h w c] and alpha in [0, 1]."""
    return color * alpha[..., None] + 255 * (1 - alpha[..., None])


def close(given: np.ndarray, expected: np.ndarray, tolerance: float = 1.0) -> None:
    np.testing.assert_allclose(given, np.broadcast_to(expected, given.shape), atol=tolerance)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
class TestGray:
    def test_png(self, bits):
        values = samples(bits, 1)
        close(pixels(png(values, bits, 0), 1), to_8_bits(values, bits))
        close(pixels(png(values, bits, 0), 3), to_8_bits(values, bits))

    def test_png_with_a_transparent_value(self, bits):
        values = samples(bits, 1)
        clear = {1: 1, 2: 1, 4: 9}.get(bits, int(values[2, 3, 0]))
        data = png(values, bits, 0, (b"tRNS", struct.pack(">H", clear)))
        alpha = np.where(values[..., 0] == clear, 0.0, 1.0)
        close(pixels(data, 4)[..., 3], 255 * alpha)
        close(pixels(data, 3), on_white(to_8_bits(values, bits), alpha))
        close(pixels(data, 1), on_white(to_8_bits(values, bits), alpha))

    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("photometric", [0, 1])
    def test_tiff(self, bits, photometric, order):
        """Photometric 0 is MinIsWhite: 0 is white."""
        values = samples(bits, 1)
        if (bits, photometric, order) == (16, 0, ">"):
            with pytest.raises(DecodeError, match="TIFF or has pixels in an unsupported layout; save it again"):
                decode(tiff(values, bits, photometric, order), 1)
            return
        expected = to_8_bits(values, bits)
        close(pixels(tiff(values, bits, photometric, order), 1), expected if photometric else 255 - expected)


@pytest.mark.parametrize("bits", [8, 16])
class TestColor:
    def test_png(self, bits):
        values = samples(bits, 3)
        close(pixels(png(values, bits, 2), 3), to_8_bits(values, bits))

    def test_png_with_a_transparent_color(self, bits):
        values = samples(bits, 3)
        clear = [int(value) for value in values[2, 3]]
        data = png(values, bits, 2, (b"tRNS", struct.pack(">3H", *clear)))
        alpha = np.where((values == clear).all(axis=-1), 0.0, 1.0)
        close(pixels(data, 4)[..., 3], 255 * alpha)
        close(pixels(data, 3), on_white(to_8_bits(values, bits), alpha))

    @pytest.mark.parametrize(("color", "channels"), [(4, 2), (6, 4)])
    def test_png_with_alpha(self, bits, color, channels):
        values = samples(bits, channels)
        eight = to_8_bits(values, bits)
        given = pixels(png(values, bits, color), channels)
        close(given, eight)
        close(pixels(png(values, bits, color), 3), on_white(eight[..., :-1], eight[..., -1] / 255), 2)

    def test_tiff(self, bits):
        values = samples(bits, 3)
        for order in "<>":
            close(pixels(tiff(values, bits, 2, order), 3), to_8_bits(values, bits))

    @pytest.mark.parametrize("premultiplied", [False, True])
    def test_tiff_with_alpha(self, bits, premultiplied):
        values = samples(bits, 4)
        if premultiplied:
            values[..., :3] = values[..., :3] * (values[..., 3:] / (2**bits - 1))
        eight = to_8_bits(values, bits)
        alpha = eight[..., 3] / 255
        data = tiff(values, bits, 2, extra=1 if premultiplied else 2)
        expected = eight[..., :3] + 255 * (1 - alpha[..., None]) if premultiplied else on_white(eight[..., :3], alpha)
        close(pixels(data, 3), expected, 3)
        close(pixels(data, 4)[..., 3], eight[..., 3])

    def test_tiff_cmyk(self, bits):
        values = samples(bits, 4)
        eight = 255 - to_8_bits(values, bits)
        close(pixels(tiff(values, bits, 5), 3), eight[..., :3] * eight[..., 3:] / 255, 2)


def test_png_palette_with_transparency():
    palette = RNG.integers(0, 256, (16, 3), dtype=np.uint8)
    clear = RNG.integers(0, 256, 16, dtype=np.uint8)
    for bits in (4, 8):
        values = samples(bits, 1) % 16
        data = png(values, bits, 3, (b"PLTE", palette.tobytes()), (b"tRNS", clear.tobytes()))
        index = values[..., 0]
        close(pixels(data, 4), np.dstack([palette[index], clear[index]]))
        close(pixels(data, 3), on_white(palette[index].astype(float), clear[index] / 255))


def test_12_bits_in_a_tiff():
    values = samples(12, 1)
    values = np.concatenate([values, values], axis=1)  # an even number of samples in a row
    close(pixels(tiff(values, 12, 1), 1), to_8_bits(values, 12))
    with pytest.raises(DecodeError, match="unsupported layout"):
        decode(tiff(values, 12, 0), 1)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_samples_of_unknown_range_are_refused(mode):
    buffer = io.BytesIO()
    Image.new(mode, (4, 4)).save(buffer, "TIFF")
    with pytest.raises(DecodeError, match="of unknown range; save it with 8 or 16 bits"):
        decode(buffer.getvalue(), 3)


@pytest.mark.parametrize("form", ["WEBP", *(["AVIF"] if features.check("avif") else [])])
def test_alpha_of_other_formats(form):
    color = np.zeros((16, 16, 4), np.uint8)
    color[:8], color[8:] = (200, 40, 90, 255), (10, 20, 30, 0)
    buffer = io.BytesIO()
    Image.fromarray(color).save(buffer, form, **({"lossless": True, "exact": True} if form == "WEBP" else {"quality": 100}))
    given = pixels(buffer.getvalue(), 4)
    close(given[..., 3], color[..., 3], 2)
    close(given[:7, :, :3], color[:7, :, :3], 6)
    close(pixels(buffer.getvalue(), 3)[9:], 255, 2)


def test_gif_with_a_transparent_color():
    indices = RNG.integers(0, 4, SIZE, dtype=np.uint8)
    palette = np.array([[0, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]], np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(palette.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "GIF", transparency=0)
    close(pixels(buffer.getvalue(), 3), np.where(indices[..., None] == 0, 255, palette[indices]))


def test_cmyk_jpeg():
    """Adobe's CMYK is stored inverted."""
    buffer = io.BytesIO()
    Image.new("CMYK", (16, 16), (0, 255, 255, 51)).save(buffer, "JPEG", quality=95)
    close(pixels(buffer.getvalue(), 3), np.array([204, 0, 0]), 4)
