"""The documents list all that plugins may use."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import gankit
from gankit.interfaces import CALLBACK_METHODS

ROOT = Path(__file__).parents[3]


def documented(rows: str) -> set[str]:
    """The names in the first column of the tables in ``rows``."""
    cells = re.findall(r"^\| (`.*?) \|", rows, flags=re.M)
    return {name for cell in cells for name in re.findall(r"`(\w+)", cell)}


def test_all_that_a_game_may_use_is_documented():
    text = (ROOT / "docs/games.md").read_text(encoding="utf-8")
    internal = {"context", "join", "play", "step"}
    assert documented(text) >= {name for name in vars(gankit.Game) if not name.startswith("_")} - internal


def test_all_that_a_dataset_may_have_is_documented():
    text = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    interface = gankit.Dataset.__doc__ or ""  # Python 3.13 removes its indentation
    optional = set(re.findall(r"^ *- ``(\w+)", interface, flags=re.M))
    assert documented(text) >= optional
    assert len(optional) >= 9


def test_all_that_a_callback_may_use_is_documented():
    text = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
    section = re.findall(r"^## What a callback may call\n(.*?)^## ", text, flags=re.S | re.M)[0]
    public = {name for name in vars(gankit.Run) if not name.startswith("_")} | {*CALLBACK_METHODS}
    assert documented(section) == public


def test_image_spec_is_documented():
    text = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
    section = re.findall(r"^\*\*`ImageSpec`\.\*\*(.*?)^\*\*G's", text, flags=re.S | re.M)[0]
    assert documented(section) == {field.name for field in fields(gankit.ImageSpec)}
    assert "ImageSpec.any_size" in section
