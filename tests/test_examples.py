"""Examples in docs/ that are complete programs or plugins."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]


def python_blocks(page: str) -> list[str]:
    """The examples in Python on a page of the documentation, in order."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.S | re.M)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """An empty working directory next to the shipped recipes."""
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_d_sees(checkout):
    """The documented program makes the documented grid: real images above the same images, augmented."""
    (program,) = python_blocks("augmentation.md")
    exec(program, {})
    with Image.open("seen_by_d.png") as made, Image.open(ROOT / "docs/images/seen_by_d.png") as shown:
        assert made.size == shown.size
        made_rows, shown_rows = (np.split(np.asarray(image)[2:], 4) for image in (made, shown))
    assert np.array_equal(made_rows[0], shown_rows[0])
    for row in made_rows[1:]:
        assert not np.array_equal(row, made_rows[0])
        assert np.abs(row.astype(float) - made_rows[0]).mean() < 30  # levels of 256: they are still recognizable
