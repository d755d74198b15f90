"""Pairs of images in files: which belong together, and how they are read, cropped and split."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gankit
from gankit.data.loader import Loader
from gankit.recipe.sections import Loader as Settings
from gankit.testing import check_dataset
from gankit_datasets import PairedFolder


def encoded(pixels: np.ndarray, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def scene(number: int, height: int, width: int) -> np.ndarray:
    """Pixels [h w 3] that say which picture this is, and where in it they are."""
    rows = np.linspace(0, 200, 4 * height).reshape(-1, 4).mean(1)[:, None] + np.zeros(width)
    columns = np.zeros((height, 1)) + np.linspace(0, 200, 4 * width).reshape(-1, 4).mean(1)
    return np.stack([np.full((height, width), number), rows, columns], 2).round().astype(np.uint8)


def as_tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


def prepared(**params) -> PairedFolder:
    dataset = PairedFolder(**params)
    dataset.prepare()
    return dataset


@pytest.fixture
def two(fill, pack, tmp_path):
    """``two(count, scale=1)``: a folder of images and a zip of their sources, with pixels that tell them apart."""

    def write(count: int, scale: int = 1, height: int = 16, width: int = 24) -> dict[str, Path]:
        images = {f"{i % 2}/{i}.png": encoded(scene(i, height, width)) for i in range(count)}
        size = height // scale, width // scale
        sources = {f"{i % 2}/{i}.bmp": encoded(scene(i + 50, *size), "BMP") for i in reversed(range(count))}
        return {"image": fill(tmp_path / "a", images), "source": pack(tmp_path / "b.zip", sources)}

    return write


def numbers(dataset: gankit.Dataset, field: str = "image") -> list[int]:
    return [int(dataset[i][field][0, 0, 0]) for i in range(len(dataset))]


def test_files_of_the_same_name_are_pairs(two):
    dataset = prepared(**two(4))
    check_dataset(dataset)
    assert numbers(dataset) == [0, 2, 1, 3]
    assert numbers(dataset, "source") == [50, 52, 51, 53]
    assert dataset.classes is None
    assert dataset.describe() == gankit.DataDescription("4 pairs")
    assert not hasattr(dataset, "held_out")


def test_folders_around_all_files_of_a_side_do_not_count(fill, tmp_path):
    image = fill(tmp_path / "a", {f"hr/deep/{i}.png": encoded(scene(i, 8, 8)) for i in range(3)})
    source = fill(tmp_path / "b", {f"lr/{i}.png": encoded(scene(i + 50, 8, 8)) for i in range(3)})
    assert numbers(prepared(image=image, source=source), "source") == [50, 51, 52]


@pytest.mark.parametrize("halves", ["image|source", "source|image"])
@pytest.mark.parametrize("source_channels", [None, 1])
def test_halves_of_a_file(fill, tmp_path, halves, source_channels):
    left, right = scene(1, 12, 10), scene(201, 12, 10)
    path = fill(tmp_path / "ab", {"1.png": encoded(np.concatenate([left, right], axis=1)), "notes.txt": b"x"})
    dataset = prepared(path=path, halves=halves, source_channels=source_channels)
    check_dataset(dataset)
    image, source = (left, right) if halves == "image|source" else (right, left)
    if source_channels:
        source = np.asarray(Image.fromarray(source).convert("L"))[..., None]
    assert torch.equal(dataset[0]["image"], as_tensor(image))
    assert torch.equal(dataset[0]["source"], as_tensor(source))
    description = dataset.describe()
    assert description.summary == "1 pair; ignored: 1 .txt"
    assert description.skipped == {f"{path}/notes.txt": "ignored: .txt"}


@pytest.mark.parametrize("keys", [{"crop": "random"}, {"cache": "memory"}, {"cache": "none", "workers": 2}, {"fit": "pad"}])
def test_pairs_stay_aligned_in_the_loader(two, keys):
    """Crops and mirror images of a source show the same place as those of its image."""
    dataset = prepared(**two(12, scale=4, height=32, width=80), scale=1 / 4)
    settings = Settings(batch_size=6, flip=True, **({"workers": 0} | keys))
    stream = Loader(dataset, dataset.spec.at_size(32, 32), settings, 3, torch.device("cpu")).stream(0)
    mirrored = []
    for _ in range(4):
        batch = next(stream)
        images, sources = (batch[name].add(1).mul(127.5) for name in ("image", "source"))
        assert sources.shape == (6, 3, 8, 8)
        assert torch.equal(images[:, 0, 16, 16].round() + 50, sources[:, 0, 4, 4].round())
        inside = slice(3, -3) if "fit" in keys else slice(None)  # without black borders
        difference = torch.nn.functional.avg_pool2d(images, 4)[:, 1:, inside] - sources[:, 1:, inside]
        assert difference.abs().max() < 6  # a pixel of the source is at least 10 apart from the next one
        mirrored += (images[:, 2, 16, 8] > images[:, 2, 16, 24]).tolist()
    assert set(mirrored) == {True, False}


def test_a_checksum_of_the_name_splits_the_pairs(two):
    files = two(40)
    train = prepared(**files, test_fraction=0.3)
    test = prepared(**files, test_fraction=0.3, split="test")
    assert sorted(numbers(train) + numbers(test)) == list(range(40))
    assert 4 < len(test) < 20
    assert [n + 50 for n in numbers(test)] == numbers(test, "source")
    assert train.describe().summary == f"{len(train)} pairs of the chosen split, out of 40"
    assert not hasattr(test, "held_out")
    check_dataset(train)
    held_out = train.held_out()
    assert (numbers(held_out), held_out.split, len(train)) == (numbers(test), "test", 40 - len(test))
    assert held_out.fingerprint() == test.fingerprint() != train.fingerprint()

    first = files["image"] / "0/0.png"
    first.rename(first.with_suffix(".PNG"))  # of the same name without suffix
    assert numbers(prepared(**files, test_fraction=0.3, split="test")) == numbers(test)


def test_other_data_may_be_held_out(two, fill, tmp_path):
    path = fill(tmp_path / "val", {"x.png": encoded(scene(9, 8, 16))})
    other = PairedFolder(path=path, halves="image|source")
    held_out = prepared(**two(3), held_out=other).held_out()
    assert numbers(held_out) == [9]
    with pytest.raises(ValueError, match=r"held-out data has the fields image \(1 channels\), source \(1 .*; expected"):
        PairedFolder(**two(3), held_out=PairedFolder(path=path, halves="image|source", channels=1))
    with pytest.raises(ValueError, match="either `held_out` or `test_fraction`"):
        PairedFolder(**two(3), held_out=other, test_fraction=0.1)


def test_the_fingerprint_is_of_the_content(two, fill, tmp_path):
    files = two(4)
    before = prepared(**files).fingerprint()
    moved = files["image"].rename(tmp_path / "elsewhere")
    assert prepared(image=moved, source=files["source"]).fingerprint() == before
    changed = [
        prepared(image=moved, source=files["source"], channels=1).fingerprint(),
        prepared(image=moved, source=files["source"], source_channels=1).fingerprint(),
        prepared(image=files["source"], source=moved).fingerprint(),
    ]
    fill(moved, {"0/2.png": encoded(scene(99, 16, 24))})
    changed.append(prepared(image=moved, source=files["source"]).fingerprint())
    assert len({before, *changed}) == 5


def test_the_fingerprint_is_of_halves_and_names(fill, tmp_path):
    path = fill(tmp_path / "ab", {f"{i}.png": encoded(scene(i, 8, 16)) for i in range(2)})
    prints = [prepared(path=path, halves=halves).fingerprint() for halves in ("image|source", "source|image")]
    (path / "1.png").rename(path / "2.png")
    prints.append(prepared(path=path, halves="image|source").fingerprint())
    assert len(set(prints)) == 3


def test_exif_orientation_counts(fill, tmp_path):
    turned = Image.fromarray(scene(5, 8, 12))
    exif = Image.Exif()
    exif[274] = 6  # rotate by 90 degrees
    buffer = io.BytesIO()
    turned.save(buffer, "JPEG", exif=exif, quality=95)
    image = fill(tmp_path / "a", {"1.jpg": buffer.getvalue()})
    dataset = prepared(image=image, source=fill(tmp_path / "b", {"1.png": encoded(scene(6, 12, 8))}))
    assert dataset[0]["image"].shape == dataset[0]["source"].shape == (3, 12, 8)
    with pytest.raises(gankit.DataError, match="12 x 8 pixels"):
        prepared(image=image, source=fill(tmp_path / "c", {"1.png": encoded(scene(6, 8, 12))}))
