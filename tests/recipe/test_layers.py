"""Which files and overrides a recipe's values come from."""

from __future__ import annotations

import json
from pathlib import Path

import gankit
from gankit.recipe.located_document import Layer

BASE = """
name: base
image: {size: 32}
dataset: {name: shapes}
generator: {name: dcgan, width: 32}
discriminator: dcgan
train: {epochs: 25}
"""


def test_each_layer_lists_what_it_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(BASE)
    Path("wide.yaml").write_text("extends: base.yaml\nname: wide\ngenerator: {width: 64}\nloss: hinge\nimage: {size: 32}\n")
    recipe = gankit.Recipe.load("wide.yaml", ["train.steps=3", "generator.name=resnet"])
    assert recipe.document.layers == [
        Layer("base.yaml"),
        Layer("wide.yaml", {"name": ("base", "wide"), "generator.width": (32, 64), "loss": (None, "hinge")}),
        Layer(
            "command line",
            {
                "generator": ({"name": "dcgan", "width": 64}, {"name": "resnet"}),
                "train.epochs": (25, None),
                "train.steps": (None, 3),
            },
        ),
    ]


def test_a_layer_keeps_its_values_when_later_ones_change_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(BASE)
    Path("middle.yaml").write_text("extends: base.yaml\nema: {half_life_images: 10}\nregularizers: [{name: r1, gamma: 1}]\n")
    Path("last.yaml").write_text("extends: middle.yaml\nema: {half_life_images: 5}\n")
    _, middle, last, words = gankit.Recipe.load("last.yaml", ["regularizers.r1.gamma=2"]).document.layers
    assert middle.changes == {"ema": (None, {"half_life_images": 10}), "regularizers": (None, [{"name": "r1", "gamma": 1}])}
    assert last.changes == {"ema.half_life_images": (10, 5)}
    assert words.changes == {"regularizers": ([{"name": "r1", "gamma": 1}], [{"name": "r1", "gamma": 2}])}


def test_a_recipe_that_is_no_file_has_no_layers():
    data = {"name": "a", "image": {"size": 32}, "dataset": "shapes", "generator": "dcgan", "train": {"steps": 1}}
    assert gankit.Recipe.parse(data).document.layers == []


def test_a_run_records_them_and_keeps_them_when_resumed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(BASE.replace("width: 32", "width: 4").replace("dcgan\n", "{name: dcgan, width: 4}\n"))
    recipe = gankit.Recipe.load("base.yaml", ["train.steps=1", "loader.batch_size=4"])
    runtime = gankit.Runtime()
    runtime.assemble(recipe, Path("run")).fit()
    layers = json.loads(Path("run/run.json").read_text())["recipe"]
    assert layers[0] == {"source": "base.yaml", "changes": {}}
    assert layers[1]["changes"]["train.steps"] == [None, 1]
    runtime.resume(Path("run"), ["train.steps=2"]).fit()
    assert json.loads(Path("run/run.json").read_text())["recipe"] == layers
