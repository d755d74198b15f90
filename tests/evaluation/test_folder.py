"""A folder of images: what is found, what is chosen, and every message about what is wrong with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import gankit
from gankit.evaluation.folder_images import FolderImages


@pytest.fixture
def pictures(tmp_path):
    """``pictures(count, size=..., mode=...) -> folder`` of noise, some of it deeper."""

    def make(count=6, size=(10, 8), mode="RGB", name="pictures"):
        folder = tmp_path / name
        (folder / "b" / "deep").mkdir(parents=True, exist_ok=True)
        (folder / ".hidden").mkdir(exist_ok=True)
        (folder / "notes.txt").write_text("no image")
        Image.new("RGB", (3, 3)).save(folder / ".hidden" / "x.png")
        random = np.random.default_rng(0)
        for index in range(count):
            inner = [folder, folder / "b", folder / "b" / "deep"][index % 3]
            shape = (size[1], size[0], len(mode)) if len(mode) > 1 else (size[1], size[0])
            Image.fromarray(random.integers(0, 256, shape, np.uint8)).save(inner / f"{index}.png")
        return folder

    return make


def test_pixels_as_they_are(pictures):
    folder = pictures()
    images = FolderImages(folder, 3, 6, 0)
    assert images.size == (8, 10)
    files = ["0.png", "3.png", "b/1.png", "b/4.png", "b/deep/2.png", "b/deep/5.png"]
    expected = np.stack([np.asarray(Image.open(folder / file)) for file in files])
    assert torch.equal(torch.cat(list(images.batches())), torch.from_numpy(expected).permute(0, 3, 1, 2))


def test_a_choice_is_the_seeds(pictures):
    folder = pictures(30)
    chosen = [torch.cat(list(FolderImages(folder, 3, 10, seed).batches())) for seed in (0, 0, 1)]
    assert torch.equal(chosen[0], chosen[1])
    assert not torch.equal(chosen[0], chosen[2])
    assert len(chosen[0]) == 10


def test_all_are_brought_to_a_size(pictures):
    folder = pictures(3)
    Image.new("RGB", (40, 30)).save(folder / "large.png")
    (batch,) = FolderImages(folder, 3, 4, 0, (4, 6)).batches()
    assert batch.shape == (4, 3, 4, 6)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("L", 3), ("RGB", 3), ("RGBA", 4), ("LA", 2)])
def test_channels_that_fit(pictures, mode, channels):
    (batch,) = FolderImages(pictures(3, mode=mode), channels, 3, 0).batches()
    assert batch.shape == (3, channels, 8, 10)


def test_palettes_and_orientation(pictures):
    folder = pictures(0)
    Image.new("RGB", (10, 8), "red").quantize(4).save(folder / "palette.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    Image.new("RGB", (8, 10), "blue").save(folder / "turned.jpg", exif=exif)
    images = FolderImages(folder, 3, 2, 0)
    (batch,) = images.batches()
    assert images.size == (8, 10)
    assert batch[0, :, 0, 0].tolist() == [255, 0, 0]


class TestBad:
    def test_none(self, pictures):
        with pytest.raises(gankit.DataError, match=r"pictures: holds no images \(\.jpg.*no run and no checkpoint"):
            FolderImages(pictures(0), 3, 1, 0)

    def test_too_few(self, pictures):
        with pytest.raises(gankit.DataError, match=r"holds 6 images, and 10,000 are wanted; .*--samples 6"):
            FolderImages(pictures(), 3, 10_000, 0)

    def test_unlike_sizes(self, pictures):
        folder = pictures(3)
        Image.new("RGB", (9, 8)).save(folder / "z.png")
        with pytest.raises(
            gankit.DataError, match=r"unlike sizes: \S*0\.png is 10 x 8 and \S*z\.png is 9 x 8; .*--size"
        ):
            FolderImages(folder, 3, 4, 0)

    def test_no_image_inside(self, pictures):
        folder = pictures(3)
        (folder / "bad.png").write_text("nonsense")
        with pytest.raises(gankit.DataError, match=r"bad\.png: cannot be read as an image: .*replace or delete it"):
            FolderImages(folder, 3, 4, 0)

    def test_cut_short(self, pictures):
        folder = pictures(3)
        content = (folder / "0.png").read_bytes()
        (folder / "0.png").write_bytes(content[: len(content) // 2])
        with pytest.raises(gankit.DataError, match=r"0\.png: cannot be read as an image"):
            list(FolderImages(folder, 3, 3, 0).batches())

    @pytest.mark.parametrize(("mode", "channels"), [("RGB", 1), ("RGBA", 3), ("RGBA", 1)])
    def test_more_channels_than_the_real_images(self, pictures, mode, channels):
        message = rf"0\.png: has {len(mode)} channels \({mode}\), and the real images have {channels} .*--real"
        with pytest.raises(gankit.DataError, match=message):
            FolderImages(pictures(3, mode=mode), channels, 3, 0)

    def test_sixteen_bits(self, pictures):
        folder = pictures(0)
        Image.fromarray(np.zeros((8, 10), np.uint16)).save(folder / "wide.png")
        with pytest.raises(gankit.DataError, match=r"wide\.png: has pixels of mode I;16; save it with 8 bits"):
            FolderImages(folder, 1, 1, 0)
