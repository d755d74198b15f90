"""Images of a folder: which are found and chosen, how they are decoded, and all error messages."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import gankit
from gankit.data.resize import resize
from gankit.evaluation.folder_images import FolderImages


@pytest.fixture
def noise_folder(tmp_path):
    """``noise_folder(count, size=..., mode=...) -> folder`` of noise images, some in subfolders."""

    def make(count=6, size=(10, 8), mode="RGB", name="noise"):
        folder = tmp_path / name
        (folder / "b" / "deep").mkdir(parents=True, exist_ok=True)
        (folder / ".hidden").mkdir(exist_ok=True)
        (folder / "notes.txt").write_text("not an image")
        Image.new("RGB", (3, 3)).save(folder / ".hidden" / "x.png")
        random = np.random.default_rng(0)
        for index in range(count):
            inner = [folder, folder / "b", folder / "b" / "deep"][index % 3]
            shape = (size[1], size[0], len(mode)) if len(mode) > 1 else (size[1], size[0])
            Image.fromarray(random.integers(0, 256, shape, np.uint8)).save(inner / f"{index}.png")
        return folder

    return make


def test_pixels_are_unchanged(noise_folder):
    folder = noise_folder()
    images = FolderImages(folder, 3, 6, 0)
    assert images.size == (8, 10)
    files = ["0.png", "3.png", "b/1.png", "b/4.png", "b/deep/2.png", "b/deep/5.png"]
    expected = np.stack([np.asarray(Image.open(folder / file)) for file in files])
    assert torch.equal(torch.cat(list(images.batches())), torch.from_numpy(expected).permute(0, 3, 1, 2))


def test_the_seed_decides_the_choice(noise_folder):
    folder = noise_folder(30)
    chosen = [torch.cat(list(FolderImages(folder, 3, 10, seed).batches())) for seed in (0, 0, 1)]
    assert torch.equal(chosen[0], chosen[1])
    assert not torch.equal(chosen[0], chosen[2])
    assert len(chosen[0]) == 10


def test_images_are_resized(noise_folder):
    folder = noise_folder(3)
    Image.new("RGB", (40, 30)).save(folder / "large.png")
    (batch,) = FolderImages(folder, 3, 4, 0, (4, 6)).batches()
    assert batch.shape == (4, 3, 4, 6)


def test_images_are_fitted_as_the_real_ones(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 16, 3), np.uint8)).save(tmp_path / "wide.png")
    pixels = torch.from_numpy(np.array(Image.open(tmp_path / "wide.png"))).permute(2, 0, 1)[None]
    for fit in ("crop", "pad", "stretch"):
        (batch,) = FolderImages(tmp_path, 3, 1, 0, (4, 4), fit).batches()
        assert torch.equal(batch, resize(pixels, 4, 4, fit))


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("L", 3), ("RGB", 3), ("RGBA", 4), ("LA", 2)])
def test_modes_that_convert_without_loss(noise_folder, mode, channels):
    (batch,) = FolderImages(noise_folder(3, mode=mode), channels, 3, 0).batches()
    assert batch.shape == (3, channels, 8, 10)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_accounts_for_the_orientation(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (10, 8)).save(tmp_path / "x.jpg", exif=exif)
    images = FolderImages(tmp_path, 3, 1, 0)
    assert images.size == ((8, 10) if orientation < 5 else (10, 8))
    assert next(images.batches()).shape == (1, 3, *images.size)


def test_palettes_and_orientation(noise_folder):
    folder = noise_folder(0)
    Image.new("RGB", (10, 8), "red").quantize(4).save(folder / "palette.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    Image.new("RGB", (8, 10), "blue").save(folder / "turned.jpg", exif=exif)
    images = FolderImages(folder, 3, 2, 0)
    (batch,) = images.batches()
    assert images.size == (8, 10)
    assert batch[0, :, 0, 0].tolist() == [255, 0, 0]


class TestErrors:
    def test_no_images(self, noise_folder):
        with pytest.raises(
            gankit.DataError, match=r"noise: contains no images \(\.jpg.*neither a run nor a checkpoint"
        ):
            FolderImages(noise_folder(0), 3, 1, 0)

    def test_too_few(self, noise_folder):
        with pytest.raises(gankit.DataError, match=r"contains 6 images, but 10,000 are needed; .*--samples 6"):
            FolderImages(noise_folder(), 3, 10_000, 0)

    def test_different_sizes(self, noise_folder):
        folder = noise_folder(3)
        Image.new("RGB", (9, 8)).save(folder / "z.png")
        with pytest.raises(
            gankit.DataError, match=r"the images differ in size: \S*0\.png is 10 x 8 and \S*z\.png is 9 x 8; .*--size"
        ):
            FolderImages(folder, 3, 4, 0)

    def test_a_file_that_is_not_an_image(self, noise_folder):
        folder = noise_folder(3)
        (folder / "bad.png").write_text("nonsense")
        with pytest.raises(gankit.DataError, match=r"bad\.png: cannot be read as an image: .*replace or delete it"):
            FolderImages(folder, 3, 4, 0)

    def test_a_truncated_file(self, noise_folder):
        folder = noise_folder(3)
        content = (folder / "0.png").read_bytes()
        (folder / "0.png").write_bytes(content[: len(content) // 2])
        with pytest.raises(gankit.DataError, match=r"0\.png: cannot be read as an image"):
            list(FolderImages(folder, 3, 3, 0).batches())

    @pytest.mark.parametrize(("mode", "channels"), [("RGB", 1), ("RGBA", 3), ("RGBA", 1)])
    def test_more_channels_than_the_real_images(self, noise_folder, mode, channels):
        message = rf"0\.png: has {len(mode)} channels \({mode}\), but the real images have {channels} .*--real"
        with pytest.raises(gankit.DataError, match=message):
            FolderImages(noise_folder(3, mode=mode), channels, 3, 0)

    def test_sixteen_bits(self, noise_folder):
        folder = noise_folder(0)
        Image.fromarray(np.zeros((8, 10), np.uint16)).save(folder / "wide.png")
        with pytest.raises(gankit.DataError, match=r"wide\.png: has pixel mode I;16; save it with 8 bits"):
            FolderImages(folder, 1, 1, 0)
