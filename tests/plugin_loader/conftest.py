"""Plugins as text, in a file, and installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest


@pytest.fixture
def loss_plugin() -> Callable[[str], str]:
    """``loss_plugin(name) -> text``: the source of a plugin that registers a loss."""

    def source(name: str) -> str:
        return dedent(f"""
            import gankit

            class Loss:
                def discriminator(self, turn): ...
                def generator(self, turn): ...

            @gankit.hookimpl
            def register(registries):
                registries.losses.add("{name}", Loss)
        """)

    return source


@pytest.fixture
def write_plugin(tmp_path: Path) -> Callable[..., Path]:
    """``write_plugin(text, file="mine.py") -> path``."""

    def write(text: str, file: str = "mine.py") -> Path:
        path = tmp_path / file
        path.write_text(dedent(text))
        return path

    return write


@pytest.fixture
def install_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """``install_plugin(distribution, module, text)``: a package with its entry point, as installed by pip."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    modules: list[str] = []

    def install(distribution: str, module: str, text: str | None, metadata: bool = True) -> None:
        info = site / f"{distribution}-1.0.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_text(f"[gankit]\n{module} = {module}\n")
        if metadata:
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        if text is not None:
            (site / f"{module}.py").write_text(dedent(text))
        modules.append(module)

    yield install
    for module in modules:
        sys.modules.pop(module, None)
