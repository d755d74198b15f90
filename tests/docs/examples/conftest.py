"""A working directory for the programs and plugins in docs/."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory next to the shipped recipes."""
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def plugins(checkout: Path, block: Callable[..., str]) -> list[str]:
    """The plugins of docs/plugins.md, in files of their documented names."""
    for name, part in (("my_networks.py", "class TwoHeads"), ("my_callbacks.py", "class Watch")):
        (checkout / name).write_text(block("docs/plugins.md", part))
    return ["my_networks.py", "my_callbacks.py"]


@pytest.fixture
def small_run() -> list[str]:
    """Overrides for a short run with the networks and latents of docs/plugins.md."""
    return [
        "dataset={name: shapes, count: 32, size: 16}",
        "image.size=16",
        "latent={name: sphere, dim: 8}",
        "generator={name: upsampling, width: 8}",
        "discriminator={name: two_heads, width: 8}",
        "loader.batch_size=4",
        "train.steps=4",
    ]
