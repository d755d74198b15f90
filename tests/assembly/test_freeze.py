"""``train.freeze``: parameters that are not trained."""

from __future__ import annotations

import hashlib
import json
import re

import pytest
import torch
from torch import nn

import gankit
from gankit.runs.file_names import checkpoints
from gankit.runs.json_lines import JsonLines

FREEZE = {"generator": ["layers.0.*", "layers.4.*"], "discriminator": ["features.0.*", "*.3.weight"]}
FROZEN = {
    "generator": ["layers.0.weight", "layers.4.weight", "layers.4.bias"],
    "discriminator": ["features.0.weight", "features.3.weight"],
}
DECAYING = {"name": "adamw", "lr": 1e-2, "weight_decay": 0.5}
EVERYTHING = {
    "optimizers": {"generator": DECAYING, "discriminator": DECAYING},
    "regularizers": [{"name": "r1", "gamma": 0.1, "interval": 2}],
    "ema": {"half_life_images": 40, "ramp_up": None},
    "train": {"steps": 6, "freeze": FREEZE},
}


def parameters(trainer):
    networks = trainer.state.networks().items()
    return {f"{n}.{key}": p.detach().clone() for n, network in networks for key, p in network.named_parameters()}


def frozen_in(names):
    """The full names of the frozen parameters, with those of the average."""
    full = {f"{player}.{name}" for player in names for name in names[player]}
    return full | {name.replace("generator", "generator_ema") for name in full if name.startswith("generator.")}


def unchanged(one, other):
    return {name for name in one if torch.equal(one[name], other[name])}


def hashes(directory):
    files = checkpoints(directory)[-1].glob("*.safetensors")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def events(directory, kind):
    return [event for event in JsonLines.read(directory / "events.jsonl") if event["event"] == kind]


def trained_names(trainer, player):
    names = {id(p): name for name, p in getattr(trainer.state, player).named_parameters()}
    return {names[id(p)] for group in trainer.state.optimizers[player].param_groups for p in group["params"]}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"microbatch": 3, "fresh_fakes": True},
        {"discriminator_steps": 2, "clip_gradient": 0.1},
        {"precision": "bf16"},
        pytest.param({"compile": True}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_frozen_parameters_stay_bit_for_bit_and_all_others_move(runtime, recipe, tmp_path, settings):
    made = recipe(**EVERYTHING | {"train": EVERYTHING["train"] | settings})
    trainer = runtime.assemble(made, tmp_path / "run")
    before = parameters(trainer)
    trainer.fit()
    assert unchanged(parameters(trainer), before) == frozen_in(FROZEN)
    for player, names in FROZEN.items():
        network, optimizer = getattr(trainer.state, player), trainer.state.optimizers[player]
        trained = {name for name, p in network.named_parameters() if p.requires_grad}
        assert trained == dict(network.named_parameters()).keys() - set(names)
        assert trained_names(trainer, player) == trained
        assert len(optimizer.state) == len(trained)
        assert all(p.grad is None for name, p in network.named_parameters() if name in names)


def test_a_run_that_freezes_nothing_is_the_same_as_before(runtime, recipe, tmp_path):
    for name, freeze in (("none", None), ("empty", {"generator": [], "discriminator": []})):
        runtime.assemble(recipe(**EVERYTHING | {"train": {"steps": 3, "freeze": freeze}}), tmp_path / name).fit()
    assert hashes(tmp_path / "none") == hashes(tmp_path / "empty")
    assert events(tmp_path / "empty", "frozen") == []


def test_buffers_of_frozen_layers_are_updated(runtime, recipe, tmp_path):
    """As in FreezeD, whose networks stay in training mode."""
    freeze = {"generator": ["layers.1.*"]}
    trainer = runtime.assemble(recipe(train={"steps": 2, "freeze": freeze}), tmp_path / "run")
    layer = trainer.state.generator.layers[1]
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    trainer.fit()
    assert layer.training
    assert unchanged(dict(layer.state_dict()), before) == {"weight", "bias"}


def test_the_average_takes_frozen_weights_from_g(runtime, recipe, tmp_path):
    """Also where it was loaded with others."""
    everything = EVERYTHING | {"train": {"steps": 6}}
    runtime.assemble(recipe(**everything), tmp_path / "first").fit()
    second = runtime.assemble(recipe(**EVERYTHING, initialize=str(tmp_path / "first")), tmp_path / "second")
    start = parameters(second)
    for name in FROZEN["generator"]:
        assert not torch.equal(start[f"generator.{name}"], start[f"generator_ema.{name}"])
    second.step()
    after = parameters(second)
    for name in dict(second.state.generator.named_parameters()):
        frozen = name in FROZEN["generator"]
        assert torch.equal(after[f"generator.{name}"], after[f"generator_ema.{name}"]) == frozen
        assert torch.equal(after[f"generator.{name}"], start[f"generator.{name}"]) == frozen


def test_gradients_of_frozen_layers_reach_g(runtime, recipe, tmp_path):
    """Freezing all of D but its last layer trains G through all of D."""
    freeze = {"discriminator": ["features.*"]}
    trainer = runtime.assemble(recipe(train={"steps": 2, "freeze": freeze}), tmp_path / "run")
    before = parameters(trainer)
    trainer.fit()
    features = {name for name in before if name.startswith("discriminator.features")}
    assert unchanged(parameters(trainer), before) == features
    with gankit.frozen(trainer.state.discriminator):
        assert not any(p.requires_grad for p in trainer.state.discriminator.parameters())
    assert {name for name, p in trainer.state.discriminator.named_parameters() if p.requires_grad} == {"logit.weight"}


@pytest.mark.parametrize("stop_at", [1, 4])
def test_stopped_and_resumed_is_as_never_stopped(runtime, recipe, tmp_path, stop_at):
    runtime.assemble(recipe(**EVERYTHING), tmp_path / "whole").fit()
    for _ in (trainer := runtime.assemble(recipe(**EVERYTHING), tmp_path / "parts")):
        if trainer.state.step == stop_at:
            break
    resumed = runtime.resume(tmp_path / "parts")
    assert trained_names(resumed, "discriminator") == {"features.2.weight", "features.3.bias", "logit.weight"}
    resumed.fit()
    assert hashes(tmp_path / "parts") == hashes(tmp_path / "whole")


class TestChangesOnResume:
    """Parameters that were not trained before begin as in a new run; the optimizer keeps the state of the others."""

    UNFREEZE = "train.freeze.discriminator=[features.0.*]"

    @pytest.fixture
    def run(self, runtime, recipe, tmp_path):
        runtime.assemble(recipe(**EVERYTHING), tmp_path / "run").fit()
        return tmp_path / "run"

    def states(self, trainer, player):
        names = {id(p): name for name, p in getattr(trainer.state, player).named_parameters()}
        return {names[id(p)]: state for p, state in trainer.state.optimizers[player].state.items() if state}

    def test_training_more(self, run, runtime):
        before = self.states(runtime.resume(run), "discriminator")
        resumed = runtime.resume(run, ["train.steps=8", self.UNFREEZE])
        after = self.states(resumed, "discriminator")
        assert after.keys() == before.keys() == {"features.2.weight", "features.3.bias", "logit.weight"}
        for name, state in before.items():
            assert all(torch.equal(state[key], after[name][key]) for key in state)
        start = parameters(resumed)
        resumed.fit()
        still = {*frozen_in({"generator": FROZEN["generator"]}), "discriminator.features.0.weight"}
        assert unchanged(parameters(resumed), start) == still
        steps = {name: int(state["step"]) for name, state in self.states(resumed, "discriminator").items()}
        turns = steps["logit.weight"]
        assert steps == {"features.2.weight": turns, "features.3.bias": turns, "logit.weight": turns, "features.3.weight": 3}
        assert [event["names"]["discriminator"] for event in events(run, "frozen")] == [
            FROZEN["discriminator"],
            ["features.0.weight"],
        ]

    def test_training_less(self, run, runtime):
        before = self.states(runtime.resume(run), "generator")
        words = ["train.steps=8", "train.freeze.generator=['layers.[0-4].*']", "train.freeze.discriminator=[]"]
        resumed = runtime.resume(run, words)
        assert trained_names(resumed, "generator") == {"layers.6.weight"}
        assert trained_names(resumed, "discriminator") == dict(resumed.state.discriminator.named_parameters()).keys()
        [(name, state)] = self.states(resumed, "generator").items()
        assert name == "layers.6.weight"
        assert all(torch.equal(state[key], before[name][key]) for key in state)
        start = parameters(resumed)
        resumed.fit()
        moved = start.keys() - unchanged(parameters(resumed), start)
        discriminator = {name for name in start if name.startswith("discriminator")}
        # the average takes over G's frozen weights
        assert moved - {name for name in start if name.startswith("generator_ema")} == {"generator.layers.6.weight", *discriminator}

    def test_freezing_nothing_any_more(self, run, runtime):
        resumed = runtime.resume(run, ["train.steps=8", "train.freeze=null"])
        start = parameters(resumed)
        resumed.fit()
        assert unchanged(parameters(resumed), start) == set()
        assert len(events(run, "frozen")) == 1
        assert runtime.resume(run).recipe.train.freeze is None

    def test_it_is_recorded_as_a_segment_that_reproduces_the_run(self, run, runtime, tmp_path):
        runtime.resume(run, ["train.steps=8", self.UNFREEZE]).fit()
        recipe = gankit.Recipe.load(run / "recipe.yaml")
        assert [(segment.step, segment.set) for segment in recipe.segments] == [
            (6, {"train.freeze.discriminator": ["features.0.*"]})
        ]
        trainer = runtime.assemble(recipe, tmp_path / "again")
        trainer.fit()
        while trainer.segment_ended:
            trainer = runtime.resume(tmp_path / "again")
            trainer.fit()
        assert hashes(tmp_path / "again") == hashes(run)

    def test_an_optimizer_that_has_a_state_before_its_first_step(self, runtime, recipe, tmp_path):
        class Adagrad:
            @gankit.hookimpl
            def register(self, registries):
                registries.optimizers.add("adagrad", adagrad)

        def adagrad(parameters, *, lr: float = 1e-2):
            return torch.optim.Adagrad(parameters, lr=lr, initial_accumulator_value=0.25)

        runtime.load_plugin(Adagrad())
        optimizers = {player: {"name": "adagrad"} for player in ("generator", "discriminator")}
        runtime.assemble(recipe(**EVERYTHING | {"optimizers": optimizers}), tmp_path / "run").fit()
        resumed = runtime.resume(tmp_path / "run", ["train.steps=8", self.UNFREEZE])
        states = self.states(resumed, "discriminator")
        assert (states["features.3.weight"]["sum"] == 0.25).all()
        assert (states["logit.weight"]["sum"] > 0.25).all()
        resumed.fit()

    def test_groups_of_a_network(self, runtime, recipe, tmp_path):
        """A group may vanish and come back, with the settings of its network."""

        class Grouped(nn.Module):
            def __init__(self, image: gankit.ImageSpec) -> None:
                super().__init__()
                size = image.channels * image.height * image.width
                self.slow, self.fast = nn.Linear(size, 4), nn.Linear(4, 1)

            def forward(self, images, labels=None):
                return self.fast(self.slow(images.flatten(1)).tanh())

            def parameter_groups(self):
                return [
                    {"params": self.slow.parameters(), "lr_scale": 0.1},
                    {"params": self.fast.parameters()},
                ]

        class Plugin:
            @gankit.hookimpl
            def register(self, registries):
                registries.discriminators.add("grouped", Grouped)

        runtime.load_plugin(Plugin())
        train = {"steps": 2, "freeze": {"discriminator": ["slow.*"]}}
        runtime.assemble(recipe(discriminator={"name": "grouped"}, train=train), tmp_path / "run").fit()

        def rates(trainer):
            trainer.step()
            return [group["lr"] for group in trainer.state.optimizers["discriminator"].param_groups]

        assert rates(runtime.resume(tmp_path / "run", ["train.steps=3"])) == [2e-4]
        resumed = runtime.resume(tmp_path / "run", ["train.steps=3", "train.freeze.discriminator=[]"])
        assert rates(resumed) == [pytest.approx(2e-5), 2e-4]
        assert {name: int(state["step"]) for name, state in self.states(resumed, "discriminator").items()} == {
            "slow.weight": 1, "slow.bias": 1, "fast.weight": 3, "fast.bias": 3
        }  # fmt: skip


def test_one_name_of_a_shared_parameter_suffices(runtime, recipe, tmp_path):
    class Shared(nn.Module):
        def __init__(self, image: gankit.ImageSpec) -> None:
            super().__init__()
            self.first = nn.Linear(image.channels * image.height * image.width, 4)
            self.second, self.last = self.first, nn.Linear(4, 1)

        def forward(self, images, labels=None):
            return self.last(self.second(images.flatten(1)).tanh())

    class Plugin:
        @gankit.hookimpl
        def register(self, registries):
            registries.discriminators.add("shared", Shared)

    runtime.load_plugin(Plugin())
    freeze = {"discriminator": ["second.weight"]}
    trainer = runtime.assemble(recipe(discriminator={"name": "shared"}, train={"steps": 2, "freeze": freeze}))
    start = parameters(trainer)
    trainer.step()
    assert unchanged(parameters(trainer), start) == {"discriminator.first.weight"}


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


def test_what_is_frozen_is_printed_and_recorded(cli, tiny_recipe, tiny_plugin_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    freeze = {"generator": ["*.bias"], "discriminator": ["hidden.*"]}
    recipe = tiny_recipe(tmp_path, train={"steps": 3, "device": "cpu", "precision": "fp32", "freeze": freeze})
    said = cli("run", recipe, "--plugin", tiny_plugin_file, "--out", "run")
    assert (said.code, said.err) == (0, "")
    printed = (
        "frozen: 768 of 3,840 parameters of the generator (linear.bias), 3,076 of 3,081 parameters of the discriminator "
        "(hidden.weight, hidden.bias)\n"
    )
    assert printed in said.out
    [event] = events(tmp_path / "run", "frozen")
    assert event["names"] == {"discriminator": ["hidden.weight", "hidden.bias"], "generator": ["linear.bias"]}
    assert event["counts"] == {"discriminator": [3076, 3081], "generator": [768, 3840]}
    assert gankit.Recipe.load(tmp_path / "run/recipe.yaml").train.freeze.model_dump(mode="json") == freeze
    said = cli("resume", "run", "train.steps=4", "--plugin", tiny_plugin_file)
    assert said.code == 0
    assert printed in said.out
    assert len(events(tmp_path / "run", "frozen")) == 2
    assert json.loads((tmp_path / "run/run.json").read_text())["ended"]["step"] == 4
