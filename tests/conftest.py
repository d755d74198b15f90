"""A tiny world for all tests: a plugin, a recipe that runs in a moment, and the command line in this process."""

from __future__ import annotations

import gzip
import importlib.util
import os
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml
from PIL import Image

import gankit

if "PYTEST_XDIST_WORKER" in os.environ:  # the cores are shared out already
    os.environ.setdefault("OMP_NUM_THREADS", "1")

CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TINY_PLUGIN = Path(__file__).parent / "tiny_plugin.py"
TINY_RECIPE: dict[str, Any] = {
    "name": "tiny",
    "image": {"size": 16},
    "latent": {"name": "tiny", "dim": 4},
    "dataset": {"name": "tiny"},
    "loader": {"batch_size": 8},
    "generator": {"name": "tiny"},
    "discriminator": {"name": "tiny"},
    "loss": "tiny",
    "optimizers": {"generator": {"name": "tiny"}, "discriminator": {"name": "tiny"}},
    "train": {"steps": 3, "device": "cpu", "precision": "fp32"},
    "callbacks": [{"name": "tiny", "save": True}],
}


class Said(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def tiny_plugin() -> Iterator[ModuleType]:
    """The module of ``tiny_plugin.py``."""
    spec = importlib.util.spec_from_file_location("tiny_plugin", TINY_PLUGIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tiny_plugin"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["tiny_plugin"]


@pytest.fixture
def tiny_plugin_file() -> Path:
    """The same as a file, for ``--plugin``."""
    return TINY_PLUGIN


@pytest.fixture
def tiny_runtime(tiny_plugin: ModuleType) -> gankit.Runtime:
    """A runtime with the tiny plugin alone."""
    return gankit.Runtime(plugins=[tiny_plugin], discover=False)


@pytest.fixture
def tiny_recipe() -> Callable[..., Path]:
    """``tiny_recipe(folder, **sections) -> path``: the tiny recipe, with whole sections replaced, or left out by None."""

    def write(folder: Path, file: str = "tiny.yaml", **sections: Any) -> Path:
        data = {key: value for key, value in (TINY_RECIPE | sections).items() if value is not None}
        path = folder / file
        path.write_text(yaml.safe_dump(data, sort_keys=False))
        return path

    return write


@pytest.fixture
def trained_run(tiny_runtime: gankit.Runtime, tiny_recipe: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """``trained_run("name", **sections) -> directory``: train the tiny recipe for three steps."""

    def train(name: str = "run", **sections: Any) -> Path:
        sections.setdefault("dataset", {"name": "tiny", "count": 100})
        tiny_runtime.assemble(tiny_runtime.load(tiny_recipe(tmp_path, **sections)), tmp_path / name).fit()
        return Path(name)

    return train


@pytest.fixture
def scorers_plugin_file() -> Path:
    """A plugin with tiny metrics and feature extractors."""
    return Path(__file__).parent / "evaluation" / "scorers_plugin.py"


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """``cli("run", path, ...) -> (code, out, err)``: the command line, in this process."""

    def run(*words: object) -> Said:
        from gankit.cli.main import main

        monkeypatch.setattr(sys, "argv", ["gankit", *map(str, words)])
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # which typer replaces
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return run


def picture(random: np.random.Generator, side: int) -> bytes:
    buffer = BytesIO()
    Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
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
