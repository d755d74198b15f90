"""The examples in YAML, and the message about a mistake in one."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml

import gankit
from gankit.search import parse_space
from gankit.search.check_space import check_space

ROOT = Path(__file__).parents[2]


@pytest.fixture
def plugins_in(blocks):
    """``plugins_in(page)``: the plugins among the examples in Python on a page."""

    def load(page):
        for number, block in enumerate(blocks(page)):
            if "@gankit.hookimpl" in block:
                plugin = ModuleType(f"{page.stem}_{number}")
                exec(block, vars(plugin))
                yield plugin

    return load


def test_yaml_examples(page, example, plugins_in, require_trackers, tmp_path):
    """Each example is a whole recipe, or keys that fit into one. It may use the plugins on its page."""
    require_trackers(str(example))
    runtime = gankit.Runtime(plugins_in(page) if page.name in ("data.md", "games.md") else ())
    if "extends" in example:
        (tmp_path / "recipes").symlink_to(ROOT / "recipes")
        (tmp_path / "example.yaml").write_text(yaml.safe_dump(example))
        runtime.load(tmp_path / "example.yaml")
        return
    if page.name == "hyperparameter_search.md":  # a search space
        recipe = runtime.load(ROOT / "recipes/dcgan_cifar10.yaml")
        check_space(parse_space(yaml.safe_dump(example), page.name), recipe.document, runtime.registries)
        return
    if "name" in example:
        runtime.check(gankit.Recipe.parse(example))
        return
    places = {"lr": "optimizers.generator.lr"}
    overrides = [
        f"{places.get(key, key)}={yaml.safe_dump(value, default_flow_style=True)}" for key, value in example.items()
    ]
    runtime.load(ROOT / "recipes/quickstart.yaml", overrides)


def test_example_error_message(tmp_path):
    text = (
        (ROOT / "recipes/dcgan_cifar10.yaml")
        .read_text()
        .replace("generator: {name: dcgan, width", "generator: {name: dcgan, widht")
    )
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(gankit.RecipeError) as caught:
        gankit.Runtime().load(tmp_path / "x.yaml")
    example = re.search(r"`recipes/x.yaml:\d+:\d+: (.*?)`", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert example is not None
    assert str(caught.value).endswith(example[1])
