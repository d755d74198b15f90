"""Decoding of image formats, pixel formats and damaged files."""

import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gankit.data.files.decoding import DecodeError, decode, open_image, upright_size

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
RGBA = RNG.integers(0, 256, (6, 9, 4), dtype=np.uint8)
GRAY = RNG.integers(0, 256, (6, 9), dtype=np.uint8)


def encode(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def pixels(data: bytes, channels: int) -> np.ndarray:
    image = decode(data, channels)
    assert image.is_contiguous()
    assert image.dtype.is_signed is False
    assert image.shape[0] == channels
    return image.permute(1, 2, 0).numpy()


def luma(rgb: np.ndarray) -> np.ndarray:
    """Luma by ITU-R 601, rounded."""
    return np.rint(rgb.astype(float) @ [0.299, 0.587, 0.114])


def on_white(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[..., 3:] / 255
    return rgba[..., :3] * alpha + 255 * (1 - alpha)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_formats_keep_the_pixels(form):
    data = encode(Image.fromarray(RGB), form, **({"lossless": True} if form == "WEBP" else {}))
    np.testing.assert_array_equal(pixels(data, 3), RGB)


def test_jpeg_is_decoded_as_by_pillow():
    data = encode(Image.fromarray(RGB), "JPEG")
    np.testing.assert_array_equal(pixels(data, 3), np.asarray(Image.open(io.BytesIO(data))))


def test_rgb_to_each_number_of_channels():
    data = encode(Image.fromarray(RGB))
    assert np.abs(pixels(data, 1)[..., 0] - luma(RGB)).max() <= 1
    np.testing.assert_array_equal(pixels(data, 2)[..., 1], 255)
    np.testing.assert_array_equal(pixels(data, 4), np.dstack([RGB, np.full((6, 9), 255)]))


def test_grayscale_to_each_number_of_channels():
    data = encode(Image.fromarray(GRAY))
    np.testing.assert_array_equal(pixels(data, 1)[..., 0], GRAY)
    np.testing.assert_array_equal(pixels(data, 2), np.dstack([GRAY, np.full_like(GRAY, 255)]))
    np.testing.assert_array_equal(pixels(data, 3), np.dstack([GRAY] * 3))
    np.testing.assert_array_equal(pixels(data, 4), np.dstack([GRAY] * 3 + [np.full_like(GRAY, 255)]))


def test_alpha_is_kept_or_composited_on_white():
    data = encode(Image.fromarray(RGBA))
    np.testing.assert_array_equal(pixels(data, 4), RGBA)
    assert np.abs(pixels(data, 3) - on_white(RGBA)).max() <= 1
    assert np.abs(pixels(data, 1)[..., 0] - luma(on_white(RGBA))).max() <= 2
    np.testing.assert_array_equal(pixels(data, 2)[..., 1], RGBA[..., 3])


def test_gray_with_alpha():
    data = encode(Image.fromarray(np.dstack([GRAY, RGBA[..., 3]]), "LA"))
    np.testing.assert_array_equal(pixels(data, 2), np.dstack([GRAY, RGBA[..., 3]]))
    expected = on_white(np.dstack([GRAY] * 3 + [RGBA[..., 3]]))
    assert np.abs(pixels(data, 3) - expected).max() <= 1
    assert np.abs(pixels(data, 1)[..., 0] - expected[..., 0]).max() <= 1


def test_palette():
    indices = RNG.integers(0, 4, (5, 7), dtype=np.uint8)
    palette = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]], np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(palette.tobytes())
    np.testing.assert_array_equal(pixels(encode(image), 3), palette[indices])
    np.testing.assert_array_equal(pixels(encode(image, "GIF"), 3), palette[indices])
    transparent = encode(image, transparency=2)
    clear = palette.copy()
    clear[2] = 255
    np.testing.assert_array_equal(pixels(transparent, 3), clear[indices])
    np.testing.assert_array_equal(pixels(transparent, 4)[..., 3], np.where(indices == 2, 0, 255))
    np.testing.assert_array_equal(pixels(encode(image, "GIF", transparency=2), 3), clear[indices])


def test_a_transparent_color_without_alpha_channel():
    flat = np.full((2, 3, 3), 7, np.uint8)
    flat[0, 0] = (1, 2, 3)
    data = encode(Image.fromarray(flat), transparency=(1, 2, 3))
    np.testing.assert_array_equal(pixels(data, 3)[0, 0], 255)
    np.testing.assert_array_equal(pixels(data, 3)[1], 7)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_16_bits_are_scaled_to_8(form):
    wide = np.array([[0, 128, 129, 256, 257, 32767, 32768, 65406, 65407, 65535]], np.uint16)
    data = encode(Image.fromarray(wide), form)
    expected = np.rint(wide * (255 / 65535))
    np.testing.assert_array_equal(pixels(data, 1)[..., 0], expected)
    np.testing.assert_array_equal(pixels(data, 3), np.dstack([expected] * 3))


def test_bilevel():
    bits = GRAY > 127
    np.testing.assert_array_equal(pixels(encode(Image.fromarray(bits)), 1)[..., 0], bits * 255)
    np.testing.assert_array_equal(pixels(encode(Image.fromarray(bits)), 4)[..., 0], bits * 255)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_cmyk(channels):
    solid = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    image = pixels(encode(solid, "JPEG", quality=95), channels).astype(int)
    expected = {1: [76], 2: [76, 255], 3: [255, 0, 0], 4: [255, 0, 0, 255]}[channels]
    assert np.abs(image - expected).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF"])
def test_exif_orientation(orientation, form):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16] = 255  # white in the top left corner
    as_stored = {  # the pixels for which the tag gives the upright image
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.fromarray(np.ascontiguousarray(as_stored)), form, exif=exif)
    for header_only in (False, True):
        assert upright_size(open_image(io.BytesIO(data)), header_only) == (16, 32)
    image = pixels(data, 3)
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).max() <= 3


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
@pytest.mark.parametrize("options", [{}, {"dpi": (72, 72)}], ids=["", "with dpi"])
def test_damaged_exif_data_does_not_make_an_image_damaged(form, options):
    data = encode(Image.fromarray(RGB), form, exif=b"Exif\0\0garbage!", **options)
    assert np.array_equal(pixels(data, 3), pixels(encode(Image.fromarray(RGB), form), 3))


def test_exif_orientation_of_16_bits():
    wide = np.arange(6, dtype=np.uint16).reshape(2, 3) * 257
    exif = Image.Exif()
    exif[0x0112] = 6
    np.testing.assert_array_equal(pixels(encode(Image.fromarray(wide), exif=exif), 1)[..., 0], [[3, 0], [4, 1], [5, 2]])


@pytest.mark.parametrize("form", ["GIF", "WEBP"])
def test_the_first_frame_of_animations_is_decoded(form):
    first, second = (Image.new("RGB", (8, 8), color) for color in ("red", "blue"))
    data = encode(first, form, save_all=True, append_images=[second], lossless=True)
    np.testing.assert_array_equal(pixels(data, 3)[0, 0], [255, 0, 0])


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bits_are_refused(mode):
    with pytest.raises(DecodeError, match=rf"32 bits per pixel \(mode {mode}\) of unknown range"):
        decode(encode(Image.new(mode, (4, 4)), "TIFF"), 1)


def claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims this size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("width", "height"), [(10_001, 10_000), (30_000, 30_000), (2**31 - 1, 2**31 - 1)])
def test_huge_images_are_refused_by_their_headers(width, height):
    for read in (lambda data: decode(data, 3), lambda data: open_image(io.BytesIO(data))):
        with pytest.raises(DecodeError, match=r"claims .*67,108,864"):
            read(claiming(width, height))


def test_an_image_without_pixels_is_damaged():
    data = claiming(10, 10)
    open_image(io.BytesIO(data))
    with pytest.raises(DecodeError, match="is damaged"):
        decode(data, 3)


@pytest.mark.filterwarnings("ignore:Truncated File Read")
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP"])
def test_truncated_files_are_refused(form):
    data = encode(Image.fromarray(RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8)), form)
    for length in range(0, len(data) * 3 // 4, max(1, len(data) // 40)):
        with pytest.raises(DecodeError, match=r"^is (a )?damaged|^is not an image|^has no readable header"):
            decode(data[:length], 3)


@settings(max_examples=150, deadline=None)
@given(
    form=st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP"]),
    position=st.floats(0, 1, exclude_max=True),
    noise=st.binary(min_size=1, max_size=8),
    channels=st.integers(1, 4),
)
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_give_an_image_or_a_decode_error(form, position, noise, channels):
    data = bytearray(encode(Image.fromarray(RGB), form))
    start = int(position * len(data))
    data[start : start + len(noise)] = noise
    with suppress(DecodeError):
        assert decode(bytes(data), channels).shape[0] == channels
