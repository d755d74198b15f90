"""What tests make once per process, since it takes most of their time and does not change."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gankit import plugin_loader, registry


@pytest.fixture(scope="session", autouse=True)
def _signatures_of_components() -> Iterator[None]:
    """The schemas and arguments of components that do not belong to a single test: most of the time of a new runtime."""

    def once(make: Callable[..., Any]) -> Callable[..., Any]:
        made: dict[Any, Any] = {}

        def cached(factory: Callable[..., Any], *context: Any, **options: Any) -> Any:
            if "<locals>" in getattr(factory, "__qualname__", "<locals>"):
                return make(factory, *context, **options)
            key = factory, *context[:-1], *options.items()  # the last of the context is for messages
            if key not in made:
                made[key] = make(factory, *context, **options)
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


class Ended(NamedTuple):
    """How a run came to its end: exit status, seconds of training, operations on files, bytes in memory meanwhile."""

    status: int
    seconds: float
    operations: int
    memory: list[int]


@pytest.fixture(scope="session")
def _run_server() -> Iterator[Callable[[dict[str, Any]], dict[str, Any]]]:
    """Asks ``run_server.py``."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("run_server.py"))],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def ask(wanted: dict[str, Any]) -> dict[str, Any]:
        process.stdin.write(json.dumps(wanted) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield ask
    process.stdin.close()
    process.wait(30)


@pytest.fixture
def start(_run_server: Callable[..., Any], tmp_path: Path) -> Callable[..., Ended]:
    """``start("run", "recipe.yaml", ..., kill_after=0.3)``: the command line in a process of its own.

    It writes to ``log.txt``, if ``stdout`` is given only its errors.
    """

    def run(*words: object, env: Mapping[str, str] | None = None, **how: Any) -> Ended:
        log = str(tmp_path / "log.txt")
        env = {"GANKIT_DATA_DIR": os.environ.get("GANKIT_DATA_DIR", ""), **(env or {})}
        return Ended(**_run_server({"argv": [*map(str, words)], "cwd": str(tmp_path), "log": log, "env": env, **how}))

    return run
