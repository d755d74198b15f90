"""What tests make once per process, since it takes most of their time and does not change."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from gankit import plugin_loader, registry


@pytest.fixture(scope="session", autouse=True)
def _signatures_of_components() -> Iterator[None]:
    """The schemas and arguments of components that do not belong to a single test: most of the time of a new runtime."""

    def once(make: Callable[..., Any]) -> Callable[..., Any]:
        made: dict[Any, Any] = {}

        def cached(factory: Callable[..., Any], *context: Any) -> Any:
            if "<locals>" in getattr(factory, "__qualname__", "<locals>"):
                return make(factory, *context)
            key = factory, *context[:-1]  # the last is for messages
            if key not in made:
                made[key] = make(factory, *context)
            return made[key]

        return cached

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(registry, "signature_schema", once(registry.signature_schema))
        monkeypatch.setattr(registry, "argument_names", once(registry.argument_names))
        yield


@pytest.fixture(scope="session", autouse=True)
def _hooks_of_installed_plugins() -> Iterator[None]:
    """The functions that implement them, which pluggy looks for in all that a module contains."""
    make, made = plugin_loader._hooks_of, {}

    def hooks(plugin: object) -> Any:
        name = getattr(plugin, "__name__", "")
        if not name.startswith("gankit_") or sys.modules.get(name) is not plugin:
            return make(plugin)
        if plugin not in made:
            made[plugin] = make(plugin)
        return made[plugin]

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(plugin_loader, "_hooks_of", hooks)
        yield


@pytest.fixture(scope="session", autouse=True)
def _metadata_of_installed_plugins() -> Iterator[None]:
    """Their metadata: most of the rest. Tests that install plugins change ``sys.path``."""
    path, find = [*sys.path], metadata.entry_points
    describe, found, described = plugin_loader.distribution_of, {}, {}

    def entry_points(**selected: str) -> metadata.EntryPoints:
        if sys.path != path:
            return find(**selected)
        key = tuple(selected.items())
        if key not in found:
            found[key] = find(**selected)
        return found[key]

    def distribution_of(point: metadata.EntryPoint) -> str:
        key = point.dist, point.value
        if key not in described:
            described[key] = describe(point)
        return described[key]

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(metadata, "entry_points", entry_points)
        monkeypatch.setattr(plugin_loader, "distribution_of", distribution_of)
        yield


@pytest.fixture(scope="session")
def _one_command_line() -> Iterator[None]:
    """The commands and their options, which take as long to build as most commands to run."""
    import typer

    from gankit.cli import main

    app, build = main.make_app(), typer.main.get_command
    command = build(app)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(main, "make_app", lambda: app)
        monkeypatch.setattr(typer.main, "get_command", lambda given: command if given is app else build(given))
        yield


@pytest.fixture(scope="session")
def _runs_of_this_process(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Path]]:
    """A folder for runs, and the runs in it by their recipe; tests get copies."""
    return tmp_path_factory.mktemp("runs"), {}


@pytest.fixture
def made_once(
    tmp_path: Path, _runs_of_this_process: tuple[Path, dict[str, Path]]
) -> Callable[[str, Callable[[Path], object], str], Path]:
    """``made_once(key, make) -> directory``: a copy of what ``make(directory)`` writes, which is called once per process."""
    folder, runs = _runs_of_this_process

    def copied(key: str, make: Callable[[Path], object], name: str = "run") -> Path:
        if key not in runs:
            new = folder / str(len(runs))
            make(new)
            runs[key] = new
        return Path(shutil.copytree(runs[key], tmp_path / name))

    return copied
