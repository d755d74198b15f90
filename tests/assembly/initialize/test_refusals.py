"""What ``initialize`` refuses: names and networks that do not fit, and a difference of the classes."""

from __future__ import annotations

import re

import pytest
import torch

import gankit
from gankit.runs.json_lines import JsonLines


class TestRefusals:
    @pytest.mark.parametrize(
        ("initialize", "path", "place", "message"),
        [
            ({"skip": ["lineer.*"]}, "skip.0", "lineer.*", "'lineer.*' matches no weight that is loaded; did you mean 'linear.*'?"),
            ({"skip": ["*.bias", "linear"]}, "skip.1", "linear", "'linear' matches no weight that is loaded; did you mean 'linear.*'?"),
            (
                {"skip": ["generator.liner.bias"]},
                "skip.0",
                "generator.liner.bias",
                "'generator.liner.bias' matches no weight that is loaded; did you mean 'generator.linear.bias'?",
            ),
            ({"skip": ["xyz"]}, "skip.0", "xyz", "'xyz' matches no weight that is loaded; known: hidden.*, linear.*, out.*"),
            (
                {"networks": ["generator"], "skip": ["hidden.*"]},
                "skip.0",
                "hidden.*",
                "'hidden.*' matches no weight that is loaded; known: linear.*",
            ),
            ({"networks": []}, "networks", "[]", "selects nothing to load; name a network"),
            (
                {"copy": {"critic": "generator"}},
                "copy.critic",
                "critic:",
                "this run has no network 'critic'; known: discriminator, generator, generator_ema",
            ),
            (
                {"copy": {"discriminator.hiden": "generator"}},
                "copy.discriminator.hiden",
                "discriminator.hiden:",
                "this run has no such module; did you mean 'discriminator.hidden'?",
            ),
            (
                {"copy": {"discriminator": "generator_average"}},
                "copy.discriminator",
                "generator_average",
                "the checkpoint has no network 'generator_average'; it has generator, discriminator, generator_ema",
            ),
            (
                {"copy": {"discriminator": "generator.linea"}},
                "copy.discriminator",
                "generator.linea",
                "the checkpoint has no module 'generator.linea'; did you mean 'generator.linear'?",
            ),
        ],
    )  # fmt: skip
    @pytest.mark.usefixtures("first")
    def test_one_sentence_at_its_place(self, tiny, tmp_path, initialize, path, place, message):
        with pytest.raises(gankit.RecipeError) as error:
            tiny("second", initialize={"from": "first", **initialize})
        [problem] = error.value.problems
        assert (problem.path, problem.message) == (f"initialize.{path}", message)
        line, column = map(int, problem.place.split(":")[-2:])
        assert (tmp_path / "tiny.yaml").read_text().splitlines()[line - 1][column - 1 :].startswith(place)
        assert not (tmp_path / "second").exists()

    @pytest.mark.usefixtures("first")
    def test_the_average_of_a_run_without(self, tiny):
        for more in ({"networks": ["generator_ema"]}, {"copy": {"generator_ema": "generator"}}):
            with pytest.raises(gankit.RecipeError, match="this run has no generator_ema, because the recipe has no `ema`"):
                tiny("second", ema=None, initialize={"from": "first", **more})

    @pytest.mark.usefixtures("first")
    def test_all_weights_that_do_not_fit_are_listed(self, tiny):
        with pytest.raises(gankit.RecipeError) as error:
            tiny("second", discriminator={"name": "judge"}, initialize={"from": "first", "copy": {"discriminator": "generator"}})
        assert re.fullmatch(
            r".*tiny\.yaml:\d+:\d+: initialize\.from: first/checkpoints/step-00000003: does not fit the discriminator: "
            r"6 missing in the checkpoint: discriminator\.hidden\.weight, .*discriminator\.fake_score\.linear\.weight and "
            r"1 more; 2 not in this network: discriminator\.linear\.bias, discriminator\.linear\.weight\. To keep the "
            r"initial values of such weights, add them to initialize\.skip",
            str(error.value),
        )

    @pytest.mark.usefixtures("first")
    def test_a_network_that_runs_on_data_only_is_checked_before_the_first_step(self, tiny, tmp_path):
        reading = {"name": "reading"}
        with pytest.raises(gankit.RecipeError, match=r"initialize\.skip\.0: 'bias' matches no weight"):
            tiny("second", generator=reading, initialize={"from": "first", "skip": ["bias"]})
        with pytest.raises(gankit.RecipeError, match="does not fit the generator: 1 of another shape"):
            tiny("second", generator=reading, latent={"name": "tiny", "dim": 3}, initialize="first")
        assert not (tmp_path / "second").exists()

    @pytest.mark.usefixtures("first")
    @pytest.mark.parametrize("verb", ["check", "run"])
    def test_before_the_data_is_prepared(self, cli, tiny_recipe, tiny_plugin_file, tmp_path, verb):
        initialize = {"from": "first", "skip": ["liner.*"]}
        recipe = tiny_recipe(tmp_path, dataset={"name": "image_folder", "path": "nowhere"}, initialize=initialize)
        said = cli(verb, recipe, "--plugin", tiny_plugin_file)
        assert said.code == 2
        assert re.search(r"tiny\.yaml:\d+:\d+: initialize\.skip\.0: 'liner\.\*' matches .*'linear\.\*'\?\n$", said.err)


class TestNetworksThatReadValuesWhenTheyAreLoaded:
    """As those that compare the fingerprint of a frozen part do. The meta device lacks values."""

    @pytest.fixture
    def sealed(self, tiny_plugin, tiny_runtime):
        class Sealed(tiny_plugin.TinyDiscriminator):
            def __init__(self, image: gankit.ImageSpec, *, seal: float = 1.0) -> None:
                super().__init__(image)
                self.register_buffer("seal", torch.tensor(seal))
                self.register_load_state_dict_pre_hook(self.compare)

            @staticmethod
            def compare(module, state, prefix, *args):
                if not torch.equal(state[f"{prefix}seal"], module.seal):
                    raise ValueError("the seal is broken")

        class Plugin:
            @gankit.hookimpl
            def register(self, registries: gankit.Registries) -> None:
                registries.discriminators.add("sealed", Sealed)

        tiny_runtime.load_plugin(Plugin())

    @pytest.mark.usefixtures("sealed")
    def test_they_are_checked_when_the_run_starts(self, tiny, weights, saved, different, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        tiny("first", seed=5, discriminator={"name": "sealed"}).fit()
        first = saved(tmp_path / "first")
        started = weights(tiny("second", discriminator={"name": "sealed"}, initialize={"from": "first", "skip": ["out.*"]}))
        assert different(started, first) == {"discriminator.out.weight", "discriminator.out.bias"}
        with pytest.raises(gankit.RecipeError, match=r"initialize: .*discriminator: does not fit .*the seal is broken"):
            tiny("second", discriminator={"name": "sealed", "seal": 2.0}, initialize="first")
        with pytest.raises(gankit.RecipeError, match=r"initialize\.skip\.0: 'outs\.\*' .*did you mean 'out\.\*'"):
            tiny("second", discriminator={"name": "sealed"}, initialize={"from": "first", "skip": ["outs.*"]})


class TestClasses:
    """Weights that depend on the classes can be skipped."""

    @pytest.fixture
    def conditional(self, tiny, saved, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        tiny("first", seed=5, conditional=True).fit()
        return saved(tmp_path / "first")

    @pytest.mark.usefixtures("conditional")
    def test_a_difference_is_refused(self, tiny):
        with pytest.raises(gankit.RecipeError, match=r"initialize: .*2 classes \(a, b\), and .*none .*skip the weights that"):
            tiny("second", initialize="first")

    def test_a_difference_is_recorded_if_weights_are_skipped(self, tiny, conditional, weights, different, tmp_path):
        trainer = tiny("second", initialize={"from": "first", "skip": ["labels.*"]})
        assert different(weights(trainer), conditional) == set()
        trainer.fit()
        [event] = [line for line in JsonLines.read(tmp_path / "second/events.jsonl") if line["event"] == "initialized"]
        assert event["skipped"] == ["generator.labels.weight", "generator_ema.labels.weight"]
        assert event["classes"].startswith("its networks were trained on 2 classes (a, b), and this run has none")
