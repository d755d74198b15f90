"""Fixtures for the tests of assembly: a command with a discriminator from a plugin file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest


@pytest.fixture
def with_discriminator(
    cli: Callable[..., Any], tiny_recipe: Callable[..., Path], tiny_plugin_file: Path, tmp_path: Path
) -> Callable[..., Any]:
    """``with_discriminator("run", source, ...) -> (code, out, err)``: the tiny recipe with D of ``plugin.py``."""

    def command(verb: str, source: str, *words: object) -> Any:
        register = "@gankit.hookimpl\ndef register(registries):\n    registries.discriminators.add('mine', D)\n"
        (tmp_path / "plugin.py").write_text(f"import gankit\nfrom torch import nn, ones\n{dedent(source)}{register}")
        recipe = tiny_recipe(tmp_path, discriminator={"name": "mine"})
        return cli(verb, recipe, "--plugin", tiny_plugin_file, "--plugin", tmp_path / "plugin.py", *words)

    return command
