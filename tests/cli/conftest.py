"""Fixtures for the tests of commands: a temporary working directory, a narrow terminal, and errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANKIT_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 50 columns."""
    for name, value in {"FORCE_COLOR": "1", "COLUMNS": "50", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def tiny(tiny_recipe: Callable[..., Path], tiny_plugin_file: Path, tmp_path: Path) -> list[object]:
    """Arguments of a command: the tiny recipe and its plugin."""
    return [tiny_recipe(tmp_path).name, "--plugin", tiny_plugin_file]


@pytest.fixture
def refused(cli: Callable[..., Any]) -> Callable[..., str]:
    """``refused("run", ...) -> message``: the command must exit with code 2 and a message, and must not start a run."""

    def run(*words: object) -> str:
        said = cli(*words)
        assert said.code == 2, said
        assert "Traceback" not in said.err + said.out
        assert said.err.startswith("error: ")
        assert not Path("results").exists()
        return str(said.err.removeprefix("error: "))

    return run
