"""Frozen parameters are not trained, all others are."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import gankit


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
def test_frozen_parameters_stay_bit_for_bit_and_all_others_move(
    runtime, recipe, parameters, frozen_in, unchanged, trained_names, everything, frozen, tmp_path, settings
):
    made = recipe(**everything | {"train": everything["train"] | settings})
    trainer = runtime.assemble(made, tmp_path / "run")
    before = parameters(trainer)
    trainer.fit()
    assert unchanged(parameters(trainer), before) == frozen_in(frozen)
    for player, names in frozen.items():
        network, optimizer = getattr(trainer.state, player), trainer.state.optimizers[player]
        trained = {name for name, p in network.named_parameters() if p.requires_grad}
        assert trained == dict(network.named_parameters()).keys() - set(names)
        assert trained_names(trainer, player) == trained
        assert len(optimizer.state) == len(trained)
        assert all(p.grad is None for name, p in network.named_parameters() if name in names)


def test_a_run_that_freezes_nothing_is_the_same_as_before(runtime, recipe, hashes, events, everything, tmp_path):
    for name, freeze in (("none", None), ("empty", {"generator": [], "discriminator": []})):
        runtime.assemble(recipe(**everything | {"train": {"steps": 3, "freeze": freeze}}), tmp_path / name).fit()
    assert hashes(tmp_path / "none") == hashes(tmp_path / "empty")
    assert events(tmp_path / "empty", "frozen") == []


def test_buffers_of_frozen_layers_are_updated(runtime, recipe, unchanged, tmp_path):
    """As in FreezeD, whose networks stay in training mode."""
    freeze = {"generator": ["layers.1.*"]}
    trainer = runtime.assemble(recipe(train={"steps": 2, "freeze": freeze}), tmp_path / "run")
    layer = trainer.state.generator.layers[1]
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    trainer.fit()
    assert layer.training
    assert unchanged(dict(layer.state_dict()), before) == {"weight", "bias"}


def test_the_average_takes_frozen_weights_from_g(runtime, recipe, parameters, everything, frozen, tmp_path):
    """Also where it was loaded with others."""
    runtime.assemble(recipe(**everything | {"train": {"steps": 6}}), tmp_path / "first").fit()
    second = runtime.assemble(recipe(**everything, initialize=str(tmp_path / "first")), tmp_path / "second")
    start = parameters(second)
    for name in frozen["generator"]:
        assert not torch.equal(start[f"generator.{name}"], start[f"generator_ema.{name}"])
    second.step()
    after = parameters(second)
    for name in dict(second.state.generator.named_parameters()):
        stays = name in frozen["generator"]
        assert torch.equal(after[f"generator.{name}"], after[f"generator_ema.{name}"]) == stays
        assert torch.equal(after[f"generator.{name}"], start[f"generator.{name}"]) == stays


def test_gradients_of_frozen_layers_reach_g(runtime, recipe, parameters, unchanged, tmp_path):
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


def test_one_name_of_a_shared_parameter_suffices(runtime, recipe, parameters, unchanged, tmp_path):
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


def test_what_is_frozen_is_printed_and_recorded(cli, tiny_recipe, tiny_plugin_file, events, tmp_path, monkeypatch):
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
