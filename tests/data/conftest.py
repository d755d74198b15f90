"""Fixtures for datasets that wrap others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gankit


@pytest.fixture
def wrapping_plugin_file() -> Path:
    """A plugin with datasets that wrap others."""
    return Path(__file__).parent / "wrapping_plugin.py"


@pytest.fixture
def runtime(tiny_runtime: gankit.Runtime, wrapping_plugin_file: Path, tmp_path: Path, monkeypatch: Any) -> gankit.Runtime:
    """A runtime with it and the tiny plugin, in a temporary working directory."""
    monkeypatch.chdir(tmp_path)
    tiny_runtime.load_plugin(wrapping_plugin_file)
    return tiny_runtime


@pytest.fixture
def checked(
    runtime: gankit.Runtime, tiny_recipe: Callable[..., Path], tmp_path: Path
) -> Callable[..., gankit.CheckedRecipe]:
    """``checked(dataset, *overrides)``: the tiny recipe with this dataset."""
    return lambda dataset, *overrides: runtime.load_checked(tiny_recipe(tmp_path, dataset=dataset), overrides)
