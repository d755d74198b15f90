"""Fixtures for the tests of image folders: images, and functions that write and read folders and zip files of them."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gankit_datasets import ImageFolder


@pytest.fixture(scope="session")
def png() -> Callable[..., bytes]:
    """``png(seed, width=8, height=6)``: a file of random pixels."""

    def make(seed: int, width: int = 8, height: int = 6) -> bytes:
        buffer = io.BytesIO()
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue()

    return make


@pytest.fixture(scope="session")
def class_files(png: Callable[..., bytes]) -> dict[str, bytes]:
    """Four images in each of the folders a, b and c, by path."""
    places = ((folder, i) for folder in "bca" for i in range(4))
    return {f"{folder}/{i}.png": png(seed, 8 + i, 6) for seed, (folder, i) in enumerate(places)}


@pytest.fixture(scope="session")
def fill() -> Callable[..., Path]:
    """``fill(folder, files)``: write files into a folder, and return it."""

    def write(folder: Path, files: dict[str, bytes]) -> Path:
        folder.mkdir(exist_ok=True)
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return folder

    return write


@pytest.fixture(scope="session")
def pack() -> Callable[..., Path]:
    """``pack(path, files, compression=ZIP_DEFLATED)``: write files into a zip, and return its path."""

    def write(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path

    return write


@pytest.fixture(params=["folder", "zip"])
def put(request: pytest.FixtureRequest, tmp_path: Path, fill: Callable[..., Path], pack: Callable[..., Path]):
    """``put(files)``: write files into a folder or a zip, and return its path."""
    if request.param == "folder":
        return lambda files: fill(tmp_path / "images", files)
    return lambda files: pack(tmp_path / "images.zip", files)


@pytest.fixture(scope="session")
def prepared() -> Callable[..., ImageFolder]:
    """``prepared(path, **params)``: the dataset, ready to use."""

    def prepare(path: Path, **params: object) -> ImageFolder:
        dataset = ImageFolder(path=path, **params)
        dataset.prepare()
        return dataset

    return prepare


@pytest.fixture(scope="session")
def names() -> Callable[[ImageFolder, dict[str, bytes]], list[str]]:
    """``names(dataset, files)``: the file of each item, found by its pixels."""

    def find(dataset: ImageFolder, files: dict[str, bytes]) -> list[str]:
        name_of = {np.asarray(Image.open(io.BytesIO(data))).tobytes(): name for name, data in files.items()}
        images = [dataset[i][0] for i in range(len(dataset))]
        return [name_of[image.permute(1, 2, 0).numpy().tobytes()] for image in images]

    return find
