"""Fixtures for the tests of commands: a temporary working directory, a narrow terminal, and errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import gankit
from gankit.evaluation.evaluation_log import read_evaluations
from gankit.evaluation.record import Evaluation


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
def score(cli: Callable[..., Any], tiny_plugin_file: Path, scorers_plugin_file: Path) -> Callable[..., Any]:
    """``score(source, ...) -> (code, out, err)``: runs ``gankit eval`` with the tiny networks and scorers."""
    return lambda *words: cli("eval", *words, "--plugin", tiny_plugin_file, "--plugin", scorers_plugin_file)


@pytest.fixture(scope="session")
def last() -> Callable[..., Evaluation]:
    """``last(path="run/evaluations.jsonl")``: the newest evaluation in a file."""
    return lambda path="run/evaluations.jsonl": read_evaluations(Path(path))[-1]


@pytest.fixture(scope="session")
def plain() -> Callable[[str], str]:
    """``plain(text)``: without color codes."""
    return lambda text: re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty noise images of 64 px, with the padding of a grid: 68 px."""
    random = torch.Generator().manual_seed(0)
    (tmp_path / "noise").mkdir()
    for index in range(40):
        image = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8, generator=random)
        gankit.save_grid(image, tmp_path / "noise" / f"{index:04}.png")
    return Path("noise")


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
