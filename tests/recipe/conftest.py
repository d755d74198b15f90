"""Fixtures for recipes: a runtime with a few plugins, and files in a temporary working directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import gankit
from gankit.errors import RecipeError
from gankit.recipe.inheritance import read_document

PLUGINS = ["gankit_dcgan", "gankit_cifar10", "gankit_losses", "gankit_optimizers", "gankit_callbacks"]


@pytest.fixture(scope="session")
def runtime() -> gankit.Runtime:
    return gankit.Runtime(plugins=PLUGINS, discover=False)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str | bytes], Path]:
    """``write(name, text) -> path``: write a file, relative to the working directory, which is temporary."""
    monkeypatch.chdir(tmp_path)

    def write_file(name: str, text: str | bytes) -> Path:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write_file


@pytest.fixture
def error_of(write: Callable[[str, str | bytes], Path]) -> Callable[..., str]:
    """``error_of(path, *overrides) -> message``: the error of reading a document; each problem has a place."""

    def read(path: str | Path, *overrides: str) -> str:
        with pytest.raises(RecipeError) as caught:
            read_document(path, overrides)
        assert all(problem.place for problem in caught.value.problems)
        return str(caught.value)

    return read
