"""A trained run, hostile files, and bounds of time and memory."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import gankit
from gankit_datasets import ImageFolder

RECIPE = Path(__file__).parents[2] / "recipes" / "quickstart.yaml"
SMALL = ["image.size=8", "generator.width=4", "discriminator.width=4", "latent.dim=4", "dataset.count=32", "dataset.size=8", "loader.batch_size=8", "train.steps=3", "train.device=cpu", "train.precision=fp32", "callbacks=[{name: checkpoint}]"]  # fmt: skip


@pytest.fixture
def small_recipe() -> list[object]:
    """A recipe with overrides for a tiny DCGAN, as words of the command line."""
    return [RECIPE, *SMALL]


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of three steps; not to be modified."""
    runtime = gankit.Runtime()
    folder = tmp_path_factory.mktemp("trained") / "run"
    runtime.assemble(runtime.load_checked(RECIPE, SMALL), folder).fit()
    return folder


@pytest.fixture
def run(trained_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `trained_once` in the working directory."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(trained_once, tmp_path / "run").name)


@pytest.fixture
def rehash() -> Callable[..., None]:
    """``rehash(checkpoint, change)``: updates the hashes in the manifest, and applies a change to it."""

    def write(checkpoint: Path, change: Callable[[dict[str, Any]], object] = lambda manifest: None) -> None:
        manifest = json.loads((checkpoint / "manifest.json").read_text())
        for name in manifest["files"]:
            manifest["files"][name] = hashlib.sha256((checkpoint / name).read_bytes()).hexdigest()
        change(manifest)
        (checkpoint / "manifest.json").write_text(json.dumps(manifest))

    return write


@pytest.fixture
def noise() -> Callable[..., Image.Image]:
    """``noise(mode, size)``: an image of random pixels."""

    def make(mode: str, size: tuple[int, int] = (32, 32)) -> Image.Image:
        channels = len(Image.new(mode, (1, 1)).getbands())
        shape = (size[1], size[0], channels) if channels > 1 else (size[1], size[0])
        return Image.frombytes(mode, size, np.random.default_rng(0).integers(0, 256, shape, np.uint8).tobytes())

    return make


def _encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, form, **options)
    return data.getvalue()


@pytest.fixture
def encoded() -> Callable[..., bytes]:
    """``encoded(image, form, **options)``: an image file."""
    return _encoded


@pytest.fixture
def small_png() -> bytes:
    return _encoded(Image.new("RGB", (32, 32)), "PNG")


@pytest.fixture
def claiming() -> Callable[[int, int], bytes]:
    """``claiming(width, height)``: a PNG of a few bytes whose header claims this size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    def make(width: int, height: int) -> bytes:
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")

    return make


@pytest.fixture
def zipped(small_png: bytes) -> Callable[..., Path]:
    """``zipped(path, **more)``: a zip with one image in each of two classes, and more entries."""

    def write(path: Path, **more: bytes) -> Path:
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in {"a/x.png": small_png, "b/x.png": small_png, **more}.items():
                archive.writestr(name, data)
        return path

    return write


@pytest.fixture
def skipped() -> Callable[[Path], tuple[str, ...]]:
    """``skipped(path)``: the names of the files that a dataset of two usable images skips and names."""

    def prepare(path: Path) -> tuple[str, ...]:
        images = ImageFolder(path=path, on_error="skip")
        images.prepare()
        assert "cannot be used: 'a/z.png' " in images.describe().warnings[0]
        assert len(images) == 2
        return images.skipped

    return prepare
