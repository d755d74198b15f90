"""Resumed runs with frozen parameters, also where these change."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gankit


@pytest.mark.parametrize("stop_at", [1, 4])
def test_stopped_and_resumed_is_as_never_stopped(runtime, recipe, hashes, trained_names, everything, tmp_path, stop_at):
    runtime.assemble(recipe(**everything), tmp_path / "whole").fit()
    for _ in (trainer := runtime.assemble(recipe(**everything), tmp_path / "parts")):
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
    def run(self, runtime, recipe, everything, tmp_path):
        runtime.assemble(recipe(**everything), tmp_path / "run").fit()
        return tmp_path / "run"

    def states(self, trainer, player):
        names = {id(p): name for name, p in getattr(trainer.state, player).named_parameters()}
        return {names[id(p)]: state for p, state in trainer.state.optimizers[player].state.items() if state}

    def test_training_more(self, run, runtime, parameters, frozen_in, unchanged, events, frozen):
        before = self.states(runtime.resume(run), "discriminator")
        resumed = runtime.resume(run, ["train.steps=8", self.UNFREEZE])
        after = self.states(resumed, "discriminator")
        assert after.keys() == before.keys() == {"features.2.weight", "features.3.bias", "logit.weight"}
        for name, state in before.items():
            assert all(torch.equal(state[key], after[name][key]) for key in state)
        start = parameters(resumed)
        resumed.fit()
        still = {*frozen_in({"generator": frozen["generator"]}), "discriminator.features.0.weight"}
        assert unchanged(parameters(resumed), start) == still
        steps = {name: int(state["step"]) for name, state in self.states(resumed, "discriminator").items()}
        turns = steps["logit.weight"]
        assert steps == {"features.2.weight": turns, "features.3.bias": turns, "logit.weight": turns, "features.3.weight": 3}
        assert [event["names"]["discriminator"] for event in events(run, "frozen")] == [
            frozen["discriminator"],
            ["features.0.weight"],
        ]

    def test_training_less(self, run, runtime, parameters, unchanged, trained_names):
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

    def test_freezing_nothing_any_more(self, run, runtime, parameters, unchanged, events):
        resumed = runtime.resume(run, ["train.steps=8", "train.freeze=null"])
        start = parameters(resumed)
        resumed.fit()
        assert unchanged(parameters(resumed), start) == set()
        assert len(events(run, "frozen")) == 1
        assert runtime.resume(run).recipe.train.freeze is None

    def test_it_is_recorded_as_a_segment_that_reproduces_the_run(self, run, runtime, hashes, tmp_path):
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

    def test_an_optimizer_that_has_a_state_before_its_first_step(self, runtime, recipe, everything, tmp_path):
        class Adagrad:
            @gankit.hookimpl
            def register(self, registries):
                registries.optimizers.add("adagrad", adagrad)

        def adagrad(parameters, *, lr: float = 1e-2):
            return torch.optim.Adagrad(parameters, lr=lr, initial_accumulator_value=0.25)

        runtime.load_plugin(Adagrad())
        optimizers = {player: {"name": "adagrad"} for player in ("generator", "discriminator")}
        runtime.assemble(recipe(**everything | {"optimizers": optimizers}), tmp_path / "run").fit()
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
