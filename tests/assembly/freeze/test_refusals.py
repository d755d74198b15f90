"""What ``train.freeze`` refuses."""

from __future__ import annotations

import re

import pytest
from torch import nn

import gankit


class TestRefusals:
    @pytest.mark.parametrize(
        ("freeze", "path", "place", "message"),
        [
            (
                {"discriminator": ["hiden.*"]},
                "discriminator.0",
                "hiden.*",
                "'hiden.*' matches no parameter of the discriminator; did you mean 'hidden.*'?",
            ),
            (
                {"discriminator": ["out.*", "hidden"]},
                "discriminator.1",
                "hidden",
                "'hidden' matches no parameter of the discriminator; did you mean 'hidden.*'?",
            ),
            (
                {"generator": ["mapping.*"]},
                "generator.0",
                "mapping.*",
                "'mapping.*' matches no parameter of the generator; known: linear.*",
            ),
            ({"generator": ["linear.*"]}, "generator", "- linear.*", "leaves no parameter of the generator to train"),
        ],
    )
    @pytest.mark.parametrize("verb", ["check", "run"])
    def test_one_sentence_at_its_place(
        self, cli, tiny_recipe, tiny_plugin_file, tmp_path, verb, freeze, path, place, message
    ):
        recipe = tiny_recipe(tmp_path, train={"steps": 3, "device": "cpu", "freeze": freeze})
        said = cli(verb, recipe, "--plugin", tiny_plugin_file, *(["--out", tmp_path / "run"] if verb == "run" else []))
        assert said.code == 2
        found = re.fullmatch(rf"error: .*tiny\.yaml:(\d+):(\d+): train\.freeze\.{path}: {re.escape(message)}\n", said.err)
        assert found, said.err
        assert recipe.read_text().splitlines()[int(found[1]) - 1][int(found[2]) - 1 :].startswith(place)
        assert not (tmp_path / "run").exists()

    def test_in_a_segment(self, runtime, recipe):
        made = recipe(segments=[{"step": 2, "set": {"train.freeze": {"generator": ["layer.0.*"]}}}])
        with pytest.raises(gankit.RecipeError, match=r"train\.freeze\.generator\.0: 'layer\.0\.\*' matches .*'layers\.0\.\*'"):
            runtime.check(made)

    def test_a_network_that_runs_on_data_only_is_checked_before_the_first_step(self, runtime, recipe, tmp_path):
        class Reading(nn.Module):
            def __init__(self, image: gankit.ImageSpec) -> None:
                super().__init__()
                self.linear = nn.Linear(image.channels * image.height * image.width, 1)

            def forward(self, images, labels=None):
                return self.linear(images.flatten(1)) * float(images.sum() > -1e9)

        class Plugin:
            @gankit.hookimpl
            def register(self, registries):
                registries.discriminators.add("reading", Reading)

        runtime.load_plugin(Plugin())
        made = recipe(discriminator={"name": "reading"}, train={"freeze": {"discriminator": ["liner.*"]}})
        checked = runtime.check(made)
        with pytest.raises(gankit.RecipeError, match=r"train\.freeze\.discriminator\.0: .*did you mean 'linear\.\*'\?"):
            runtime.assemble(checked, tmp_path / "run")
        assert not (tmp_path / "run").exists()
