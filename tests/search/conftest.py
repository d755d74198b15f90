"""A recipe whose score is computed from its settings, so that searches take little time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PLUGINS = Path(__file__).parent.parent
SCORE_PLUGIN = Path(__file__).parent / "score_plugin.py"


@pytest.fixture
def plugins() -> list[str]:
    """The tiny plugin, and the callback that scores."""
    pytest.importorskip("optuna")
    return [str(PLUGINS / "tiny_plugin.py"), str(SCORE_PLUGIN)]


@pytest.fixture
def searched(tiny_recipe: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, str]]:
    """``searched(space, **sections) -> (recipe, space)``: the files of a search, in the working directory."""
    monkeypatch.chdir(tmp_path)

    def write(space: str, **sections: Any) -> tuple[str, str]:
        train = {"steps": 3, "device": "cpu", "precision": "fp32", "final_checkpoint": False}
        tiny_recipe(tmp_path, **{"callbacks": ["score"], "report": False, "train": train, **sections})
        (tmp_path / "space.yaml").write_text(space)
        return "tiny.yaml", "space.yaml"

    return write
