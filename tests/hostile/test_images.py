"""Untrusted and unusual images: decoded, refused or skipped by name, in bounded time and memory."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
import torch
from PIL import Image

import gankit
from gankit.data.resize import resize
from gankit.evaluation.folder_images import FolderImages
from gankit_cifar10.image_zip import read_zip
from gankit_datasets import ImageFolder


@pytest.fixture(autouse=True)
def _bounded(within):
    with within(8, 768):
        yield


@pytest.mark.parametrize(
    ("form", "options"), [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})]
)  # fmt: skip
def test_the_first_frame_of_animations_is_used(tmp_path, form, options, zipped, noise, encoded):
    frames = [noise("L"), Image.new("L", (32, 32), 255)] + [Image.new("L", (32, 32), shade) for shade in range(50)]
    frames = [frame.convert("RGB") for frame in frames] if form == "WEBP" else frames
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(data)).n_frames > 2
    images = ImageFolder(path=zipped(tmp_path / "x.zip", **{f"a/w.{form.lower()}": data}))
    images.prepare()
    assert torch.equal(images[0][0][0], torch.from_numpy(np.asarray(noise("L"))))


@pytest.mark.parametrize(
    ("mode", "form"), [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("I;16", "PNG"), ("I;16", "TIFF"), ("YCbCr", "JPEG")]
)
def test_other_pixel_formats(tmp_path, mode, form, zipped, noise, encoded):
    if mode == "I;16":
        image = Image.fromarray(np.random.default_rng(0).integers(0, 2**16, (32, 32), np.uint16))
    else:
        image = noise(mode)
    data = encoded(image, form)
    images = ImageFolder(path=zipped(tmp_path / "x.zip", **{f"a/w.{form.lower()}": data}))
    images.prepare()
    if mode == "I;16":
        expected = np.rint(np.asarray(image) * (255 / 65535)).astype(np.uint8)[..., None].repeat(3, 2)
    else:
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(images[0][0].permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_truncated_images_are_skipped(tmp_path, form, zipped, skipped, noise, encoded):
    data = encoded(noise("RGB", (64, 64)), form)
    for part in (0.1, 0.5, 0.9):
        assert skipped(zipped(tmp_path / "x.zip", **{"a/z.png": data[: int(part * len(data))]})) == ("a/z.png",)


@pytest.mark.parametrize("form", ["EPS", "PDF", "PPM", "JPEG2000", "ICO"])
def test_other_formats_with_the_suffix_of_an_image(tmp_path, form, zipped, skipped, noise, encoded):
    """Pillow would detect them, and start Ghostscript for EPS."""
    data = encoded(noise("RGB", (64, 64)), form)
    path = zipped(tmp_path / "x.zip", **{"a/z.png": data})
    assert skipped(path) == ("a/z.png",)
    with pytest.raises(
        gankit.DataError, match=r"'a/z.png' is not an image in a supported format \(JPEG, PNG, WEBP, BMP, TIFF, GIF.*\)"
    ):
        ImageFolder(path=path).prepare()
    with pytest.raises(gankit.DataError, match=r"'a/z.png' is damaged: is not an image in a supported format"):
        read_zip(path, ("a", "b"), gankit.ImageSpec(32, 32, 3))
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "z.png").write_bytes(data)
    with pytest.raises(gankit.DataError, match=r"z.png: cannot be read as an image: is not an image in a supported format"):
        FolderImages(tmp_path / "pictures", 3, 1, 0)


class TestLargeImages:
    @pytest.mark.parametrize(("form", "size"), [("JPEG", (8_192, 6_144)), ("PNG", (4_096, 4_098))])
    def test_a_photo_of_50_megapixels_is_halved(self, form, size, noise, encoded):
        """Each pixel is close to the mean of 2 x 2 pixels."""
        small = noise("RGB", (83, 62))
        image = small.resize(size, Image.Resampling.BILINEAR)
        data = encoded(image, form, **({"quality": 95} if form == "JPEG" else {"compress_level": 1}))
        started = time.process_time()
        found = gankit.decode_image(io.BytesIO(data), 3)
        assert time.process_time() - started < 6
        assert found.shape == (3, size[1] // 2, size[0] // 2)
        expected = np.asarray(image.reduce(2)).astype(np.int16)
        error = np.abs(found.permute(1, 2, 0).numpy() - expected)
        assert error.max() <= (0 if form == "PNG" else 8)

    def test_a_photo_of_24_megapixels_keeps_its_size(self, encoded):
        data = encoded(Image.new("RGB", (6_000, 4_000), "red"), "PNG")
        assert gankit.decode_image(io.BytesIO(data), 3).shape == (3, 4_000, 6_000)
        assert gankit.decode_image(io.BytesIO(data), 3, least=1_000).shape == (3, 2_000, 3_000)

    def test_resizing_one_row_of_pixels(self):
        """Without cropping first, the result would be 64 x 2,560,000,000 pixels."""
        for sides in ((1, 40_000_000), (40_000_000, 1)):
            line = torch.zeros(1, 3, *sides, dtype=torch.uint8)
            assert resize(line, 64, 64).shape == (1, 3, 64, 64)

    def test_resizing_a_row_to_a_column(self):
        assert resize(torch.full((1, 3, 100, 1), 7, dtype=torch.uint8), 8, 256).eq(7).all()
        assert resize(torch.full((1, 3, 1, 100), 7, dtype=torch.uint8), 256, 8).eq(7).all()

    def test_jpegs_with_thousands_of_scans(self, encoded):
        """Each scan of a progressive JPEG visits all pixels and may take only ten bytes."""
        data = encoded(Image.new("L", (4_096, 4_096)), "JPEG", progressive=True)
        last = data.rindex(b"\xff\xda")
        with pytest.raises(gankit.DecodeError, match=r"has 5,\d\d\d scans of 4096 x 4096 pixels; save it with fewer"):
            gankit.decode_image(io.BytesIO(data[:last] + data[last:-2] * 5_000 + data[-2:]), 1)
        assert gankit.decode_image(io.BytesIO(data), 1).shape == (1, 4_096, 4_096)
