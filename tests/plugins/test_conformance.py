"""Every built-in plugin passes ``gankit plugins check``: the checks of its components by `gankit.testing`."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

import gankit
from gankit.testing.plugin_check import check_plugin

PLUGINS = sorted(folder.name for folder in (Path(__file__).parents[2] / "plugins").glob("gankit_*"))
LARGE = {"biggan", "losses", "metrics", "projected", "stylegan2", "superresolution", "translation"}  # seconds each
SMALL = {"width": 8, "max_width": 8, "growth": 4, "style_dim": 8}  # depths are the defaults


@pytest.fixture
def runtime(monkeypatch, tmp_path):
    """Without network: components that need a download are not checked."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("GANKIT_DATA_DIR", str(tmp_path))
    return gankit.Runtime()


def faults_of(plugin: str, runtime: gankit.Runtime, small: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    (components,) = (loaded.components for loaded in runtime.plugins if loaded.name == plugin)
    params: dict[str, dict[str, Any]] = {}
    for kind, names in components.items():
        for name in names:
            fields = getattr(runtime.registries, kind).get(name).schema.model_fields
            params.setdefault(kind, {})[name] = {field: value for field, value in small.items() if field in fields}
    results = list(check_plugin(components, runtime.registries, params))
    assert {(result.kind, result.name) for result in results} == {(k, name) for k in components for name in components[k]}
    return {f"{result.kind}.{result.name}": result.faults for result in results if result.faults}


@pytest.mark.parametrize(
    "plugin",
    [pytest.param(name, marks=[pytest.mark.slow] * (name.removeprefix("gankit_") in LARGE)) for name in PLUGINS],
)
def test_small_networks(plugin, runtime):
    assert faults_of(plugin, runtime, SMALL) == {}


@pytest.mark.slow
@pytest.mark.parametrize("plugin", PLUGINS)
def test_default_parameters(plugin, runtime):
    assert faults_of(plugin, runtime, {}) == {}
