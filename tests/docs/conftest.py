"""The README and the pages of docs/: their examples, and the commands in blocks marked ``sh``."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "benchmarks/README.md",
    ROOT / ".github/CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
]
PAGES = [path for path in DOCUMENTS if path.name != "plugin_guide.md"]  # has a test of its own: its steps need each other


def blocks_of(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(encoding="utf-8"), flags=re.S | re.M)


def lines_of(document: Path) -> list[str]:
    return [line for block in blocks_of(document, "sh") for line in block.splitlines()]


def is_slow(command: str) -> bool:
    """Whether it takes more than about five seconds; tests/search and tests/export have faster tests of the same."""
    return "export results/" in command or command.startswith("gankit search")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test of a ``command``, a ``document`` or a YAML ``example`` of a ``page`` runs once for each of them."""
    if "command" in metafunc.fixturenames:
        given = (line for page in PAGES for line in lines_of(page) if line.startswith("gankit "))
        commands = sorted({re.sub(r"  +#.*", "", line) for line in given})
        metafunc.parametrize(
            "command", [pytest.param(text, marks=pytest.mark.slow if is_slow(text) else ()) for text in commands]
        )
    if "document" in metafunc.fixturenames:
        metafunc.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
    if {"page", "example"} <= {*metafunc.fixturenames}:
        examples = [
            pytest.param(path, yaml.safe_load(block), id=f"{path.name}-{number}")
            for path in DOCUMENTS
            for number, block in enumerate(blocks_of(path, "yaml"))
        ]
        metafunc.parametrize(("page", "example"), examples)


@pytest.fixture(scope="session")
def sh_lines() -> Callable[[str], list[str]]:
    """``sh_lines("docs/data.md")``: the lines of its blocks marked ``sh``."""
    return lambda page: lines_of(ROOT / page)


@pytest.fixture(scope="session")
def blocks() -> Callable[..., list[str]]:
    """``blocks("docs/data.md", "yaml")``: its blocks in YAML, or else Python, in order."""
    return lambda page, language="python": blocks_of(ROOT / page, language)


@pytest.fixture(scope="session")
def block() -> Callable[..., str]:
    """``block("docs/data.md", "class Colorize")``: the only block in Python, or YAML, that contains the text."""

    def find(page: str, text: str = "", language: str = "python") -> str:
        (found,) = (block for block in blocks_of(ROOT / page, language) if text in block)
        return found

    return find


@pytest.fixture(scope="session")
def require_trackers() -> Callable[[str], None]:
    """``require_trackers(text)``: skips a test of an example with a tracker that is not installed."""

    def skip(text: str) -> None:
        for name in ("tensorboard", "wandb", "mlflow"):
            if re.search(rf"callbacks.*\b{name}\b", text):
                pytest.importorskip(name, reason=f"the extra '{name}' is not installed")

    return skip
