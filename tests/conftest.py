"""Fixtures of all tests: tiny runs, the command line in this process, and data on disk."""

from __future__ import annotations

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores; torch reads this when it is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import gc
import gzip
import importlib.util
import signal
import struct
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml
from PIL import Image

import gankit

CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TINY_PLUGIN = Path(__file__).parent / "tiny_plugin.py"
SMALL_PLUGIN = Path(__file__).parent / "small_plugin.py"
# these need signals, links or the module `resource`, which Windows lacks
collect_ignore = ["crashes", "hostile", "soak", "cli/test_completion.py", "runs/test_other_systems.py"] * (sys.platform == "win32")
MAXRSS_PER_MIB = 2**20 if sys.platform == "darwin" else 2**10  # `ru_maxrss` is in bytes on macOS, in KiB elsewhere
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
    """The exit code and output of a command."""

    code: int
    out: str
    err: str


def pytest_configure(config: pytest.Config) -> None:
    """The fixtures of other files. With several workers, each file runs in one of them."""
    if config.getoption("dist", "no") == "load":  # what a file imports and its fixtures train takes most of its time
        config.option.dist = "loadfile"
    for name in ("once_per_process", "hub_server", "chromium"):
        with imported(Path(__file__).parent / f"{name}.py") as module:
            config.pluginmanager.register(module, name)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a script; children would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.disable()  # what is imported and collected lives to the end, and would be searched for garbage again and again


def pytest_collection_finish() -> None:
    """Search for garbage only among the objects of tests."""
    gc.freeze()
    gc.enable()


@contextmanager
def imported(path: Path) -> Iterator[ModuleType]:
    """The module of a file that is not in a package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[path.stem]


@pytest.fixture(scope="session")
def tiny_plugin() -> Iterator[ModuleType]:
    """The module of ``tiny_plugin.py``."""
    with imported(TINY_PLUGIN) as module:
        yield module


@pytest.fixture
def tiny_plugin_file() -> Path:
    """Its path, for ``--plugin``."""
    return TINY_PLUGIN


@pytest.fixture
def tiny_runtime(tiny_plugin: ModuleType) -> gankit.Runtime:
    """A runtime with only the tiny plugin."""
    return gankit.Runtime(plugins=[tiny_plugin], discover=False)


@pytest.fixture
def tiny_recipe() -> Callable[..., Path]:
    """``tiny_recipe(folder, **sections) -> path``: the tiny recipe with sections replaced, or removed by None."""

    def write(folder: Path, file: str = "tiny.yaml", **sections: Any) -> Path:
        data = {key: value for key, value in (TINY_RECIPE | sections).items() if value is not None}
        path = folder / file
        path.write_text(yaml.safe_dump(data, sort_keys=False))
        return path

    return write


@pytest.fixture
def trained_run(
    tiny_runtime: gankit.Runtime, tiny_recipe: Callable[..., Path], made_once: Callable[..., Path], tmp_path: Path
) -> Callable[..., Path]:
    """``trained_run("name", **sections) -> directory``: the tiny recipe, trained for three steps."""

    def train(name: str = "run", **sections: Any) -> Path:
        sections.setdefault("dataset", {"name": "tiny", "count": 100})
        recipe = tiny_recipe(tmp_path, **sections)
        made_once(recipe.read_text(), lambda new: tiny_runtime.assemble(tiny_runtime.load_checked(recipe), new).fit(), name)
        return Path(name)

    return train


@pytest.fixture
def scorers_plugin_file() -> Path:
    """A plugin with tiny metrics and feature extractors."""
    return Path(__file__).parent / "evaluation" / "scorers_plugin.py"


@contextmanager
def within(seconds: float, mebibytes: int) -> Iterator[None]:
    with suppress(OSError):  # only Linux can reset the peak, which earlier tests may have raised above all bounds
        Path("/proc/self/clear_refs").write_text("5")
    started, before = time.process_time(), _peak()
    yield
    assert time.process_time() - started < seconds
    assert (_peak() - before) / MAXRSS_PER_MIB < mebibytes


def _peak() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.fixture(name="within")
def _within() -> Callable[[float, int], AbstractContextManager[None]]:
    """``within(seconds, mebibytes)``: limits the CPU time and the additional memory of the block."""
    return within


@pytest.fixture
def events() -> Callable[[Path, str], list[dict[str, Any]]]:
    """``events(directory, kind)``: what a run has recorded of one kind."""

    def read(directory: Path, kind: str) -> list[dict[str, Any]]:
        return [event for event in gankit.JsonLines.read(directory / "events.jsonl") if event["event"] == kind]

    return read


class Components:
    """A plugin that registers components, given by kind and name."""

    def __init__(self, **kinds: dict[str, Callable[..., Any]]) -> None:
        self.kinds = kinds

    @gankit.hookimpl
    def register(self, registries: gankit.Registries) -> None:
        for kind, components in self.kinds.items():
            for name, factory in components.items():
                getattr(registries, kind).add(name, factory)


@pytest.fixture
def add_components() -> Callable[..., None]:
    """``add_components(runtime, losses={"mine": Mine}, ...)``: what a plugin with these components does."""
    return lambda runtime, **kinds: runtime.load_plugin(Components(**kinds))


@pytest.fixture
def cli(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], _one_command_line: None
) -> Callable[..., Said]:
    """``cli("run", path, ...) -> (code, out, err)``: the command line, in this process."""

    def run(*words: object) -> Said:
        from gankit.cli.main import main

        monkeypatch.setattr(sys, "argv", ["gankit", *map(str, words)])
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # typer replaces it
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return run


def png(random: np.random.Generator, side: int) -> bytes:
    buffer = BytesIO()
    Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with a few random images in each layout that the recipes read."""
    random = np.random.default_rng(0)
    root = tmp_path / "data"
    (root / "pictures").mkdir(parents=True)
    with zipfile.ZipFile(root / "cifar10-train.zip", "w") as archive:
        for name in CIFAR:
            for number in range(2):
                archive.writestr(f"{name}/{number}.png", png(random, 32))
    for number in range(12):
        (root / "pictures" / f"{number}.png").write_bytes(png(random, 40 + number))
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


@pytest.fixture(scope="session")
def small_plugin() -> Iterator[ModuleType]:
    """The module of ``small_plugin.py``."""
    with imported(SMALL_PLUGIN) as module:
        yield module


@pytest.fixture
def runtime(small_plugin: ModuleType) -> gankit.Runtime:
    """A runtime with all installed plugins and the components of ``small_plugin.py``."""
    return gankit.Runtime(plugins=[small_plugin.SmallComponents()])


@pytest.fixture
def recipe() -> Callable[..., gankit.Recipe]:
    """``recipe(**changes)``: DCGAN at 16 px for four steps. Sections are merged, unless the change has a ``name``."""

    def make(**changes: Any) -> gankit.Recipe:
        adam = {"name": "adam", "lr": 2e-4, "betas": [0.5, 0.999]}
        data: dict[str, Any] = {
            "name": "small",
            "image": {"size": 16},
            "latent": {"name": "remembered", "dim": 8},
            "dataset": {"name": "pictures"},
            "loader": {"batch_size": 8},
            "generator": {"name": "dcgan", "width": 8},
            "discriminator": {"name": "dcgan", "width": 8},
            "loss": "bce",
            "optimizers": {"generator": adam, "discriminator": adam},
            "train": {"steps": 4, "precision": "fp32", "device": "cpu"},
        }
        for key, value in changes.items():
            old = data.get(key)
            data[key] = (
                {**old, **value} if isinstance(old, dict) and isinstance(value, dict) and "name" not in value else value
            )
        return gankit.Recipe.parse(data)

    return make
