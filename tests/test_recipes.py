"""Every shipped recipe: it is fit to run as it stands, and trains a few steps on a small stand-in of its data."""

from __future__ import annotations

import gzip
import struct
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gankit

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SMALLER = ["generator.width=8", "discriminator.width=8", "loader.batch_size=8", "train.steps=3"]


def picture(random: np.random.Generator, side: int) -> bytes:
    buffer = BytesIO()
    Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data directory with a few random pictures in each of the layouts that the recipes read."""
    random = np.random.default_rng(0)
    root = tmp_path / "data"
    (root / "pictures").mkdir(parents=True)
    with zipfile.ZipFile(root / "cifar10-train.zip", "w") as archive:
        for name in CIFAR:
            for number in range(2):
                archive.writestr(f"{name}/{number}.png", picture(random, 32))
    for number in range(12):
        (root / "pictures" / f"{number}.png").write_bytes(picture(random, 40 + number))
    images = random.integers(0, 256, (20, 28, 28), dtype=np.uint8)
    folder = root / "fashion-mnist"
    folder.mkdir()
    with gzip.open(folder / "train-images-idx3-ubyte.gz", "wb") as file:
        file.write(struct.pack(">IIII", 2051, 20, 28, 28) + images.tobytes())
    with gzip.open(folder / "train-labels-idx1-ubyte.gz", "wb") as file:
        file.write(struct.pack(">II", 2049, 20) + bytes(index % 10 for index in range(20)))
    monkeypatch.setenv("GANKIT_DATA_DIR", str(root))
    monkeypatch.chdir(tmp_path)
    return root


@pytest.fixture(scope="module")
def runtime():
    return gankit.Runtime()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_fit_to_run_as_it_stands(path, runtime):
    recipe = runtime.load(path)
    assert recipe.name == path.stem
    assert gankit.Recipe.load(path).to_yaml() == recipe.to_yaml()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_trains_a_few_steps(path, runtime, data, tmp_path):
    trainer = runtime.assemble(runtime.load(path, SMALLER), tmp_path / "run")
    trainer.fit()
    assert trainer.state.step == 3
    assert trainer.ending == "done"
    assert (tmp_path / "run/fake_samples_epoch_000.png").is_file()
    assert (tmp_path / "run/loss_curves.png").is_file()
    assert gankit.load_generator(tmp_path / "run").sample(2).shape[0] == 2


def test_dcgan_cifar10_is_the_reference(runtime, data):
    trainer = runtime.assemble(runtime.load(ROOT / "recipes/dcgan_cifar10.yaml", ["loader.batch_size=4"]))
    sizes = [
        sum(p.numel() for p in getattr(trainer.state, side).parameters()) for side in ("generator", "discriminator")
    ]
    assert sizes == [3_576_704, 2_765_568]
    for optimizer in trainer.state.optimizers.values():
        assert isinstance(optimizer, torch.optim.Adam)
        assert (optimizer.param_groups[0]["lr"], tuple(optimizer.param_groups[0]["betas"])) == (2e-4, (0.5, 0.999))
    assert trainer.parts.loader.at(0, 4).images.shape == (4, 3, 64, 64)
    assert trainer.total_steps == 25 * 20 // 4
