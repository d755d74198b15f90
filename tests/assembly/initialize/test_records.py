"""Where the weights came from is recorded; ``initialize`` in recipes, resumed runs and overrides."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml

import gankit
from gankit.runs.json_lines import JsonLines


class TestRecords:
    @pytest.mark.usefixtures("first")
    def test_what_was_loaded_is_printed_and_recorded(self, cli, tiny_recipe, tiny_plugin_file, ema, tmp_path):
        initialize = {"from": "first", "skip": ["hidden.*"], "copy": {"generator": "generator_ema"}}
        recipe = tiny_recipe(tmp_path, ema=ema, initialize=initialize)
        said = cli("run", recipe, "--plugin", tiny_plugin_file, "--out", "second")
        assert (said.code, said.err) == (0, "")
        source = "first/checkpoints/step-00000003"
        assert (
            f"initial weights: discriminator (2 tensors), generator_ema (2 tensors), generator = generator_ema from {source}; "
            "skipped 2: discriminator.hidden.bias, discriminator.hidden.weight\n"
        ) in said.out
        [event] = [line for line in JsonLines.read(tmp_path / "second/events.jsonl") if line["event"] == "initialized"]
        hashes = json.loads((tmp_path / source / "manifest.json").read_text())["files"]
        expected = {
            "checkpoint": source,
            "loaded": {"discriminator": 2, "generator_ema": 2},
            "copied": {"generator": "generator_ema"},
            "skipped": ["discriminator.hidden.bias", "discriminator.hidden.weight"],
            "sha256": {name: hashes[f"{name}.safetensors"] for name in ("generator_ema", "discriminator")},
        }
        assert {key: event[key] for key in expected} == expected
        assert json.loads((tmp_path / "second/run.json").read_text())["initialized"] == expected
        assert cli("resume", "second", "train.steps=4", "--plugin", tiny_plugin_file).code == 0
        assert json.loads((tmp_path / "second/run.json").read_text())["initialized"] == expected

    @pytest.mark.usefixtures("first")
    def test_the_saved_recipe_starts_from_the_same_weights(self, tiny, tiny_runtime, saved, different, tmp_path):
        initialize = {"from": "first", "networks": ["generator"], "skip": ["*.bias"], "copy": {"generator_ema": "generator"}}
        one = tiny("second", initialize=initialize)
        one.fit()
        recipe = gankit.Recipe.load(tmp_path / "second/recipe.yaml")
        assert recipe == one.recipe
        assert yaml.safe_load((tmp_path / "second/recipe.yaml").read_text())["initialize"] == initialize
        other = tiny_runtime.assemble(recipe, tmp_path / "third")
        other.fit()
        assert different(saved(tmp_path / "third"), saved(tmp_path / "second")) == set()

    def test_a_resumed_run_ignores_it(self, tiny, first, tiny_runtime, weights, saved, different, tmp_path):
        tiny("second", initialize={"from": "first", "skip": ["hidden.*"]}).fit()
        shutil.rmtree(tmp_path / "first")
        resumed = tiny_runtime.resume(tmp_path / "second", ["train.steps=5"])
        assert different(weights(resumed), saved(tmp_path / "second")) == set()
        resumed.fit()


class TestOverrides:
    @pytest.fixture
    def path(self, tmp_path, tiny_recipe):
        return lambda initialize: tiny_recipe(tmp_path, initialize=initialize)

    def test_keys_are_added_to_a_path(self, path):
        recipe = gankit.Recipe.load(path("a"), ["initialize.skip=[x]", "initialize.networks=[generator]"])
        assert recipe == gankit.Recipe.load(path({"from": "a", "skip": ["x"], "networks": ["generator"]}))

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (["initialize.from=b"], {"from": "b", "skip": ["x"]}),
            (["initialize={from: b}"], {"from": "b", "skip": ["x"]}),
            (["initialize=a"], {"from": "a", "skip": ["x"]}),
            (["initialize=b"], "b"),
            (["initialize=null"], None),
        ],
    )
    def test_a_path_replaces_the_mapping_unless_it_is_the_same(self, path, words, expected):
        assert gankit.Recipe.load(path({"from": "a", "skip": ["x"]}), words) == gankit.Recipe.load(path(expected))
