"""A trained run of the tiny world, and a runtime that can score it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import gankit

SCORERS = Path(__file__).parent / "scorers_plugin.py"


@pytest.fixture
def runtime(tiny_plugin):
    """The tiny world with the tiny scorers."""
    return gankit.Runtime(plugins=[tiny_plugin, SCORERS], discover=False)


@pytest.fixture
def seen(runtime):
    """How many images each call of an extractor was given, from now on."""
    calls = runtime.registries.features.get("colours").factory.seen
    calls.clear()
    return calls


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANKIT_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def run(runtime, tiny_recipe, tmp_path):
    """``run("name", **sections) -> directory`` of a run of three steps."""

    def make(name="run", **sections):
        sections.setdefault("dataset", {"name": "tiny", "count": 100})
        trainer = runtime.assemble(runtime.load(tiny_recipe(tmp_path, **sections)), tmp_path / name)
        trainer.fit()
        shutil.rmtree(tmp_path / name / "__pycache__", ignore_errors=True)
        return Path(name)

    return make
