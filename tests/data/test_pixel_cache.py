"""Decoded images are kept on disk if decoding takes long."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import gankit
from gankit.data import pixel_cache
from gankit.data.loader import Loader
from gankit.recipe.sections import Loader as Settings
from gankit_datasets import ImageFolder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GANKIT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(pixel_cache, "MIN_SECONDS", 0.0)
    for i in range(6):
        path = tmp_path / "images" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(path)
    return tmp_path / "images"


def images(folder, size=8):
    """The first batch, and how many images were decoded for it."""

    class Counting(ImageFolder):
        def __getitem__(self, index):
            count.append(index)
            return super().__getitem__(index)

    count: list[int] = []
    dataset = Counting(path=folder)
    dataset.prepare()
    spec = gankit.ImageSpec(size, size, 3, 2)
    batch = Loader(dataset, spec, Settings(batch_size=4, cache="memory"), 0, torch.device("cpu")).at(0, 4)
    return batch, len(count)


def test_images_are_decoded_once(folder):
    first, decoded = images(folder)
    assert decoded == 6
    again, decoded = images(folder)
    assert decoded == 0
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.labels, again.labels)


def test_another_size_or_other_images_are_decoded(folder):
    images(folder)
    assert images(folder, size=16)[1] == 6
    Image.new("RGB", (9, 9), "red").save(folder / "a" / "0.png")
    assert images(folder)[1] == 6


def test_a_damaged_file_is_replaced(folder, tmp_path):
    expected, _ = images(folder)
    (kept,) = (tmp_path / "data" / "gankit-images").iterdir()
    data = bytearray(kept.read_bytes())
    data[-1] ^= 1
    for content in (bytes(data), b"nothing"):
        kept.write_bytes(content)
        batch, decoded = images(folder)
        assert decoded == 6
        assert torch.equal(batch.images, expected.images)
    assert images(folder)[1] == 0


def test_a_folder_that_cannot_be_written_costs_only_time(folder, tmp_path):
    (tmp_path / "data").touch()
    assert images(folder)[1] == images(folder)[1] == 6


def test_images_that_are_decoded_fast_are_not_kept(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(pixel_cache, "MIN_SECONDS", 60.0)
    images(folder)
    assert not (tmp_path / "data").exists()


def test_old_files_are_deleted(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(pixel_cache, "MAX_DATASETS", 2)
    for size in (8, 9, 10):
        images(folder, size)
    assert len(list((tmp_path / "data" / "gankit-images").iterdir())) == 2
