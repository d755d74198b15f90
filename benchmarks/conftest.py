"""Options, data and reports of the benchmarks.

    pytest benchmarks/ --device cpu --benchmark-json=benchmarks.json

Both sides of a comparison run alternately in one process and are reported as a ratio. No benchmark asserts a time.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # the benchmarks are not a package

import noise_dataset
from cifar10_files import ImageSet, find_images
from paired_timing import compare_with

import gankit

RECIPES = Path(__file__).parents[1] / "recipes"
FIGURES = pytest.StashKey[list[tuple[str, dict[str, Any]]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gankit benchmarks")
    group.addoption("--device", choices=["cpu", "cuda"], default="cpu", help="where to train (default: cpu)")
    group.addoption("--rounds", type=int, default=20, help="measurements, or pairs of measurements (default: 20)")
    group.addoption("--window", type=int, default=20, help="training steps per measurement (default: 20)")
    group.addoption("--memory-steps", type=int, default=300, help="steps over which memory is measured (default: 300)")
    group.addoption("--quick", action="store_true", help="only test that every benchmark runs: few steps, little data")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = []


@dataclass(frozen=True)
class Amount:
    """How much to measure."""

    rounds: int
    window: int
    memory_steps: int
    quick: bool


@pytest.fixture(scope="session")
def amount(pytestconfig: pytest.Config) -> Amount:
    if pytestconfig.getoption("quick"):
        return Amount(rounds=2, window=2, memory_steps=20, quick=True)
    rounds, window, memory_steps = (pytestconfig.getoption(name) for name in ("rounds", "window", "memory_steps"))
    return Amount(rounds, window, memory_steps, quick=False)


@pytest.fixture(scope="session")
def device(pytestconfig: pytest.Config) -> torch.device:
    name = pytestconfig.getoption("device")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device found")
    return torch.device(name)


@pytest.fixture(scope="session")
def synchronize(device: torch.device) -> Callable[[], None]:
    """Wait for the device."""
    return torch.cuda.synchronize if device.type == "cuda" else lambda: None


@pytest.fixture(scope="session")
def runtime() -> gankit.Runtime:
    return gankit.Runtime(plugins=[noise_dataset])


@pytest.fixture
def assemble(runtime: gankit.Runtime, device: torch.device, tmp_path: Path) -> Callable[..., gankit.Trainer]:
    """``assemble("dcgan_cifar10", *overrides)`` returns a trainer of a shipped recipe on this device."""

    numbers = itertools.count()

    def make(name: str, *overrides: str) -> gankit.Trainer:
        recipe = runtime.load(RECIPES / f"{name}.yaml", [f"train.device={device}", *overrides])
        return runtime.assemble(recipe, tmp_path / f"run-{next(numbers)}")

    return make


@pytest.fixture(scope="session")
def cifar10(amount: Amount, tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """CIFAR-10's training images, or synthetic images of the same number and size if CIFAR-10 is missing."""
    root = Path(os.environ.get("GANKIT_DATA_DIR") or "data").absolute()
    return find_images(root, tmp_path_factory.mktemp("cifar10"), 1_000 if amount.quick else 50_000)


@pytest.fixture(scope="session")
def image_subset(cifar10: ImageSet, amount: Amount, tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """A subset of the images, for benchmarks that read files."""
    return cifar10.part(500 if amount.quick else 5_000, tmp_path_factory.mktemp("images"))


@pytest.fixture
def compare(benchmark: Any, amount: Amount, synchronize: Callable[[], None]) -> Callable[..., None]:
    """``compare(ours, other, against="description", images=n)`` times both in pairs and reports the ratio."""
    return compare_with(benchmark, amount.rounds, synchronize)


@pytest.fixture(autouse=True)
def figures_for_the_summary(request: pytest.FixtureRequest, benchmark: Any, device: torch.device) -> Iterator[None]:
    benchmark.extra_info["device"] = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    benchmark.extra_info["threads"] = torch.get_num_threads()
    yield
    own = {key: value for key, value in benchmark.extra_info.items() if key not in ("device", "threads")}
    request.config.stash[FIGURES].append((request.node.name, own))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if config.stash[FIGURES]:
        terminalreporter.section("figures (as in the JSON's extra_info)")
    for name, figures in config.stash[FIGURES]:
        line = "; ".join(f"{key.replace('_', ' ')} {value}" for key, value in figures.items())
        terminalreporter.write_line(f"{name}\n    {line}")
