"""Runs that are killed or fail, and what they leave behind."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import gankit
from gankit.runs.checkpoint import Checkpoint
from gankit.runs.file_names import checkpoints

CLOCKS = ("seconds", "images_per_second", "peak_memory_mib")


def plain(value: Any, key: str = "") -> Any:
    """A state as data that can be compared: tensors as their bytes, and no clocks, nor lengths of logs that have some."""
    if key.rpartition(".")[2] in ("seconds", "bytes", "events_bytes"):
        return None
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest()
    if isinstance(value, dict):
        return {name: plain(item, f"{key}.{name}") for name, item in value.items()}
    return [plain(item, key) for item in value] if isinstance(value, (list, tuple)) else value


def newest_step(directory: Path) -> int:
    """The step of the newest checkpoint, which is whole, as is every other; -1 where there is none."""
    for path in checkpoints(directory):
        checkpoint = Checkpoint.open(path)
        assert checkpoint.load_state()["training"]["step"] == checkpoint.manifest["step"] == int(path.name[5:])
    return int(checkpoints(directory)[-1].name[5:]) if checkpoints(directory) else -1


def left_by(directory: Path) -> dict[str, Any]:
    """All of a run that must not depend on interruptions."""
    newest_step(directory)
    newest = checkpoints(directory)[-1]
    metrics = list(gankit.JsonLines.read(directory / "metrics.jsonl"))
    pictures = {path.name: path.read_bytes() for path in directory.glob("*.png")}
    return {
        "newest": newest.name,
        "networks": {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in newest.glob("*.safetensors")},
        "state": plain(Checkpoint.open(newest).load_state()),
        "metrics": [{k: v for k, v in line.items() if k not in CLOCKS} for line in metrics],
        "pictures": {name: hashlib.sha256(data).hexdigest() for name, data in pictures.items()},
    }


@pytest.fixture
def outcome() -> Callable[[Path], dict[str, Any]]:
    """`left_by`."""
    return left_by


@pytest.fixture
def require_whole() -> Callable[[Path], int]:
    """`newest_step`."""
    return newest_step


@pytest.fixture
def tiny(
    tiny_recipe: Callable[..., Path], tiny_plugin_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[object]]:
    """``tiny(CODE, **sections)``: words of a command with the tiny recipe and a callback that runs CODE after step 2."""
    monkeypatch.chdir(tmp_path)

    def make(code: str = "pass", **sections: Any) -> list[object]:
        Path("own.py").write_text(
            "import gankit, os, signal, time, torch\n"
            "class Own:\n"
            "    def on_step_end(self, run):\n"
            f"        if run.state.step == 2 and not os.path.exists('off'): {code}\n"
            "@gankit.hookimpl\n"
            "def run_callbacks(recipe): return [Own()]\n"
        )
        settings = {"train": {"steps": 5, "device": "cpu", "precision": "fp32"}, "callbacks": [{"name": "checkpoint"}]}
        recipe = tiny_recipe(tmp_path, **{**settings, **sections})
        return [recipe.name, "--out", "run", "--plugin", tiny_plugin_file, "--plugin", "own.py"]

    return make


@pytest.fixture
def events() -> Callable[[], list[dict[str, Any]]]:
    """``events()``: what ``run/events.jsonl`` tells."""
    return lambda: list(gankit.JsonLines.read(Path("run/events.jsonl")))


@pytest.fixture
def writing_parts() -> dict[str, Any]:
    """Sections of a recipe with a penalty, an average of the weights, and callbacks that write logs, images and checkpoints."""
    return {
        "loss": "non_saturating",
        "regularizers": [{"name": "r1", "interval": 2}],
        "ema": {"half_life_images": 40},
        "latent": {"name": "normal", "dim": 4},
        "callbacks": [
            {"name": "metrics_log", "every": 1},
            {"name": "sample_images", "every": 3, "count": 4},
            {"name": "checkpoint", "every": 2, "keep": 1},
        ],
    }
