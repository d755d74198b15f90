"""``initialize``: which weights a run starts from."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

import gankit
from gankit.runs.file_names import checkpoints
from gankit.runs.json_lines import JsonLines

EMA = {"half_life_images": 50, "ramp_up": None}
G, D = ("generator.linear.weight", "generator.linear.bias"), (
    "discriminator.hidden.weight", "discriminator.hidden.bias", "discriminator.out.weight", "discriminator.out.bias"
)  # fmt: skip
AVERAGE = tuple(name.replace("generator", "generator_ema") for name in G)


def weights(trainer):
    """All weights of a run by their name, which begins with that of the network."""
    networks = trainer.state.networks().items()
    return {f"{name}.{key}": value.clone() for name, network in networks for key, value in network.state_dict().items()}


def saved(directory):
    files = checkpoints(directory)[-1].glob("*.safetensors")
    return {f"{file.stem}.{key}": value for file in files for key, value in load_file(file).items()}


def different(one, other):
    return {name for name in one if not torch.equal(one[name], other[name])}


@pytest.fixture
def tiny(tiny_plugin, tiny_runtime, tiny_recipe, tmp_path):
    """``tiny("name", **sections) -> trainer``: the tiny recipe with an EMA, assembled for the directory of that name."""

    class Judge(tiny_plugin.TinyDiscriminator):
        """Holds a generator."""

        def __init__(self, image: gankit.ImageSpec, *, dim: int = 4) -> None:
            super().__init__(image)
            self.fake_score = tiny_plugin.TinyGenerator(image, dim)

    class Tied(tiny_plugin.TinyDiscriminator):
        """Uses its first layer under two names."""

        def __init__(self, image: gankit.ImageSpec) -> None:
            super().__init__(image)
            self.again = self.hidden

    class Reading(tiny_plugin.TinyGenerator):
        """Reads a value, which a network on the meta device lacks."""

        def forward(self, z: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
            return super().forward(z, labels) * float(z.sum() > -1e9)

    class Plugin:
        @gankit.hookimpl
        def register(self, registries: gankit.Registries) -> None:
            registries.discriminators.add("judge", Judge)
            registries.discriminators.add("tied", Tied)
            registries.generators.add("reading", Reading)

    tiny_runtime.load_plugin(Plugin())

    def assemble(name, **sections):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
        path = tiny_recipe(tmp_path, **{"ema": EMA, **sections})
        return tiny_runtime.assemble(tiny_runtime.load_checked(path), tmp_path / name)

    return assemble


@pytest.fixture
def first(tiny, tmp_path, monkeypatch):
    """A finished run in the directory ``first``, and its weights."""
    monkeypatch.chdir(tmp_path)
    tiny("first", seed=5).fit()
    return saved(tmp_path / "first")


@pytest.mark.parametrize("initialize", ["first", {"from": "first"}, {"from": "first/checkpoints/step-00000003"}])
def test_all_networks_are_loaded(tiny, first, initialize):
    assert different(weights(tiny("fresh")), first) == {*G, *D, *AVERAGE}
    assert different(weights(tiny("second", initialize=initialize)), first) == set()


@pytest.mark.parametrize(
    ("skip", "skipped"),
    [
        ((), ()),
        (["*.bias"], [name for name in (*G, *D, *AVERAGE) if name.endswith("bias")]),
        (["linear.*"], [*G, *AVERAGE]),
        (["generator.linear.*"], G),
        (["generator*weight", "hid*"], [G[0], AVERAGE[0], D[0], D[1]]),
        (["*"], [*G, *D, *AVERAGE]),
    ],
)
def test_skipped_weights_are_those_of_a_fresh_run(tiny, first, skip, skipped):
    fresh = weights(tiny("fresh"))
    second = tiny("second", initialize={"from": "first", "skip": list(skip)})
    started = weights(second)
    assert different(started, first) == set(skipped)
    # the average of a skipped weight starts from that weight of G, which may have been loaded
    expected = {name for name in skipped if name not in AVERAGE or name.replace("_ema", "") in skipped}
    assert expected <= {name for name in started if torch.equal(started[name], fresh[name])} <= {*skipped}
    second.fit()
    assert second.ending == "done"


@given(names=st.sets(st.sampled_from([*G, *D, *AVERAGE])))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_exactly_the_skipped_weights_differ(tiny, first, names):
    started = weights(tiny("second", initialize={"from": "first", "skip": sorted(names)}))
    assert different(started, first) - {*AVERAGE} == names - {*AVERAGE}
    for name in AVERAGE:
        source = name.replace("_ema", "") if name in names else name
        assert torch.equal(started[name], started[source] if name in names else first[source])


def test_only_the_named_networks_are_loaded(tiny, first):
    fresh = weights(tiny("fresh"))
    started = weights(tiny("second", initialize={"from": "first", "networks": ["generator"]}))
    assert different(started, first) == {*D, *AVERAGE}
    assert different(started, fresh) == {*G, *AVERAGE}
    assert all(torch.equal(started[own], started[average]) for own, average in zip(G, AVERAGE, strict=True))


def test_a_run_without_an_average(tiny, first):
    started = weights(tiny("second", ema=None, initialize="first"))
    assert started.keys() == {*G, *D}
    assert different(started, first) == set()


def test_an_average_starts_from_g_if_the_checkpoint_has_none(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny("first", ema=None).fit()
    started = weights(tiny("second", seed=3, initialize="first"))
    assert all(torch.equal(started[own], started[average]) for own, average in zip(G, AVERAGE, strict=True))
    with pytest.raises(gankit.RecipeError) as error:
        tiny("second", initialize={"from": "first", "networks": ["generator", "generator_ema"]})
    assert re.fullmatch(
        r".*tiny\.yaml:\d+:\d+: initialize\.networks\.1: the checkpoint lacks generator_ema\.safetensors; it has "
        r"generator, discriminator",
        str(error.value),
    )


class TestCopies:
    def test_into_a_module(self, tiny, first):
        """The source lacks the module, so that only the copy gives it weights."""
        initialize = {"from": "first", "copy": {"discriminator.fake_score": "generator_ema"}}
        trainer = tiny("second", discriminator={"name": "judge"}, initialize=initialize)
        started = weights(trainer)
        copied = {f"discriminator.fake_score.{key}": first[f"generator_ema.{key}"] for key in ("linear.weight", "linear.bias")}
        assert different(copied, started) == set()
        assert different(first, started) == set()
        assert different(copied, {f"discriminator.fake_score.{k.partition('.')[2]}": first[k] for k in G}) == {*copied}
        trainer.fit()

    def test_between_modules_and_into_the_average(self, tiny, first):
        copy = {"discriminator.fake_score.linear": "generator.linear", "generator_ema.linear": "generator.linear"}
        initialize = {"from": "first", "networks": [], "copy": copy}
        trainer = tiny("second", discriminator={"name": "judge"}, initialize=initialize)
        started, fresh = weights(trainer), weights(tiny("fresh", discriminator={"name": "judge"}))
        filled = {"discriminator.fake_score.linear.weight", "discriminator.fake_score.linear.bias", *AVERAGE}
        assert different(started, fresh) == filled
        for name in filled:
            assert torch.equal(started[name], first[f"generator.linear.{name.rpartition('.')[2]}"])
        trainer.step()  # which does not overwrite the average by G's weights
        assert all(not torch.equal(weights(trainer)[a], weights(trainer)[b]) for a, b in zip(G, AVERAGE, strict=True))

    def test_instead_of_the_same_network(self, tiny, first):
        started = weights(tiny("second", initialize={"from": "first", "copy": {"generator": "generator_ema"}}))
        assert different(started, first) == {*G}
        assert all(torch.equal(started[own], first[average]) for own, average in zip(G, AVERAGE, strict=True))

    def test_without_skipped_weights(self, tiny, first):
        initialize = {
            "from": "first",
            "skip": ["fake_score.linear.weight"],
            "copy": {"discriminator.fake_score": "generator"},
        }
        judge = {"name": "judge", "dim": 9}  # the weight would not fit
        started = weights(tiny("second", discriminator=judge, initialize=initialize))
        fresh = weights(tiny("fresh", discriminator=judge))
        assert different(first, started) == set()
        skipped = "discriminator.fake_score.linear.weight"
        assert torch.equal(started[skipped], fresh[skipped])
        assert torch.equal(started["discriminator.fake_score.linear.bias"], first[G[1]])


def test_one_name_of_a_shared_weight_suffices(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tied = {"name": "tied"}
    tiny("first", seed=5, discriminator=tied).fit()
    started = weights(tiny("second", discriminator=tied, initialize={"from": "first", "skip": ["again.*"]}))
    fresh = weights(tiny("fresh", discriminator=tied))
    assert torch.equal(started["discriminator.hidden.weight"], fresh["discriminator.hidden.weight"])
    assert not torch.equal(started["discriminator.out.weight"], fresh["discriminator.out.weight"])


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
    def test_they_are_checked_when_the_run_starts(self, tiny, tmp_path, monkeypatch):
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
    def conditional(self, tiny, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        tiny("first", seed=5, conditional=True).fit()
        return saved(tmp_path / "first")

    @pytest.mark.usefixtures("conditional")
    def test_a_difference_is_refused(self, tiny):
        with pytest.raises(gankit.RecipeError, match=r"initialize: .*2 classes \(a, b\), and .*none .*skip the weights that"):
            tiny("second", initialize="first")

    def test_a_difference_is_recorded_if_weights_are_skipped(self, tiny, conditional, tmp_path):
        trainer = tiny("second", initialize={"from": "first", "skip": ["labels.*"]})
        assert different(weights(trainer), conditional) == set()
        trainer.fit()
        [event] = [line for line in JsonLines.read(tmp_path / "second/events.jsonl") if line["event"] == "initialized"]
        assert event["skipped"] == ["generator.labels.weight", "generator_ema.labels.weight"]
        assert event["classes"].startswith("its networks were trained on 2 classes (a, b), and this run has none")


class TestRecords:
    @pytest.mark.usefixtures("first")
    def test_what_was_loaded_is_printed_and_recorded(self, cli, tiny_recipe, tiny_plugin_file, tmp_path):
        initialize = {"from": "first", "skip": ["hidden.*"], "copy": {"generator": "generator_ema"}}
        recipe = tiny_recipe(tmp_path, ema=EMA, initialize=initialize)
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
    def test_the_saved_recipe_starts_from_the_same_weights(self, tiny, tiny_runtime, tmp_path):
        initialize = {"from": "first", "networks": ["generator"], "skip": ["*.bias"], "copy": {"generator_ema": "generator"}}
        one = tiny("second", initialize=initialize)
        one.fit()
        recipe = gankit.Recipe.load(tmp_path / "second/recipe.yaml")
        assert recipe == one.recipe
        assert yaml.safe_load((tmp_path / "second/recipe.yaml").read_text())["initialize"] == initialize
        other = tiny_runtime.assemble(recipe, tmp_path / "third")
        other.fit()
        assert different(saved(tmp_path / "third"), saved(tmp_path / "second")) == set()

    def test_a_resumed_run_ignores_it(self, tiny, first, tiny_runtime, tmp_path):
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


def test_nothing_else_is_drawn_from_the_random_generators(tiny, first):
    """Skipped weights and the steps are those of a run without ``initialize``."""
    one, other = tiny("second"), tiny("third", initialize={"from": "first", "skip": ["*"]})
    for _ in range(2):
        one.step()
        other.step()
    assert different(weights(one), weights(other)) == set()
