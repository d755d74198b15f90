"""The smallest recipe: what it leaves out has defaults."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gankit

ROOT = Path(__file__).parents[2]
ADAM = {"name": "adam", "lr": 2e-4, "betas": (0.5, 0.999)}


@pytest.fixture
def smallest(tmp_path):
    """The five lines in the documentation, in a file."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/recipes.md").read_text(), re.S)
    (text,) = [block for block in blocks if block.count("\n") == 5 and "train:" in block]
    (tmp_path / "my_first.yaml").write_text(text)
    return "my_first.yaml"


def test_it_trains(cli, smallest):
    small = ["generator.width=4", "discriminator.width=4", "loader.batch_size=4", "dataset.count=8", "train.steps=1"]
    said = cli("run", smallest, *small)
    assert (said.code, said.err) == (0, "")
    recipe = gankit.Recipe.load("results/my_first/recipe.yaml")
    assert (recipe.name, recipe.loss.name) == ("my_first", "bce")
    assert recipe.optimizers.generator.params["betas"] == [0.5, 0.999]


@pytest.mark.parametrize(
    ("words", "generator", "discriminator"),
    [
        ([], ADAM, ADAM),
        (["optimizers.generator.lr=1.0e-3"], ADAM | {"lr": 1e-3}, ADAM),
        (["optimizers.discriminator=sgd"], ADAM, {"name": "sgd"}),
        (["optimizers.generator={name: adam, lr: 0.1}"], {"name": "adam", "lr": 0.1}, ADAM),
    ],
)
def test_optimizers(smallest, words, generator, discriminator):
    optimizers = gankit.Recipe.load(smallest, words).optimizers
    assert (optimizers.generator.model_dump(), optimizers.discriminator.model_dump()) == (generator, discriminator)


def test_a_child_has_the_name_of_its_parent_or_of_its_file(smallest):
    Path("child.yaml").write_text(f"extends: {smallest}\n")
    assert gankit.Recipe.load("child.yaml").name == "child"
    Path(smallest).write_text(Path(smallest).read_text() + "name: given\n")
    assert gankit.Recipe.load("child.yaml").name == "given"


def test_a_file_whose_name_is_not_a_name_of_a_run(cli, smallest):
    Path(smallest).rename("my first.yaml")
    said = cli("check", "my first.yaml")
    assert said.code == 2
    assert "name: should be up to 100 letters, digits, '.', '_' and '-', beginning with a letter or digit; got 'my first'" in said.err
