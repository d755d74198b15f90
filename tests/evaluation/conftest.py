"""A runtime with tiny metrics and feature extractors."""

from __future__ import annotations

import pytest

import gankit


@pytest.fixture
def runtime(tiny_plugin, scorers_plugin_file):
    """The tiny plugin and the scorers."""
    return gankit.Runtime(plugins=[tiny_plugin, scorers_plugin_file], discover=False)


@pytest.fixture
def seen(runtime):
    """The number of images in each call of an extractor, from now on."""
    calls = runtime.registries.features.get("colours").factory.seen
    calls.clear()
    return calls


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANKIT_DATA_DIR", str(tmp_path / "data"))
