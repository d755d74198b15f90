"""`gankit.Frozen`: a network that is used, but neither trained nor stored in checkpoints."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import gankit


class Guided(nn.Module):
    """Adds to its images what a frozen network makes of the latents."""

    def __init__(self, image, latent_dim, *, teacher: int = 0):
        super().__init__()
        self.shape = (image.channels, image.height, image.width)
        self.linear = nn.Linear(latent_dim, image.channels * image.height * image.width)
        frozen = nn.Sequential(nn.Linear(latent_dim, self.linear.out_features), nn.Dropout(0.5))
        with torch.no_grad():
            frozen[0].weight.copy_(torch.full_like(frozen[0].weight, 0.01 * (teacher + 1)))
            frozen[0].bias.zero_()
        self.guide = gankit.Frozen(frozen)

    def forward(self, z):
        return (self.linear(z) + self.guide(z)).view(-1, *self.shape).tanh()


class Plugin:
    @gankit.hookimpl
    def register(self, registries):
        registries.generators.add("guided", Guided)


@pytest.fixture
def run(runtime, recipe, tmp_path):
    runtime.load_plugin(Plugin())

    def make(name="run", **changes):
        changes = {"ema": {"half_life_images": 50}, "latent": {"name": "normal", "dim": 8}, **changes}
        trainer = runtime.assemble(recipe(generator={"name": "guided"}, **changes), tmp_path / name)
        trainer.fit()
        return trainer

    return make


class TestModule:
    def network(self):
        owner = nn.Module()
        owner.own = nn.Linear(2, 2)
        owner.frozen = gankit.Frozen(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
        return owner

    def test_its_owner_has_none_of_its_parameters(self):
        owner = self.network()
        assert {name for name, _ in owner.named_parameters()} == {"own.weight", "own.bias"}
        assert not list(owner.frozen.buffers())
        assert set(owner.state_dict()) == {"own.weight", "own.bias"}

    def test_it_stays_in_eval_mode_and_moves_with_its_owner(self):
        owner = self.network().train().double()
        assert owner.training
        assert not owner.frozen.module.training
        assert owner.frozen(torch.ones(1, 2).double()).dtype == torch.float64

    def test_gradients_pass_through_it(self):
        frozen = self.network().frozen
        seen = torch.ones(2, 2, requires_grad=True)
        frozen(seen).sum().backward()
        assert bool(seen.grad.any())
        assert all(parameter.grad is None for parameter in frozen.module.parameters())

    def test_copies_share_it(self):
        owner = self.network()
        assert copy.deepcopy(owner).frozen.module is owner.frozen.module

    def test_its_fingerprint_follows_its_weights_but_not_its_type(self):
        frozen = self.network().frozen
        same = gankit.Frozen(copy.deepcopy(frozen.module)).double()
        assert same.fingerprint == frozen.fingerprint
        with torch.no_grad():
            frozen.module[0].bias[0] += 1e-3
        assert gankit.Frozen(frozen.module).fingerprint != same.fingerprint


def test_it_is_neither_trained_nor_stored_in_checkpoints(run):
    trainer = run()
    before = Guided(trainer.image, 8).guide.weights()
    after = trainer.state.generator.guide.weights()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    stored = gankit.load_generator(trainer.checkpoint, plugins=[Plugin()]).module.state_dict()
    assert set(stored) == {"linear.weight", "linear.bias"}
    assert trainer.state.ema.module.guide.module is trainer.state.generator.guide.module


def test_sampling_uses_the_network_of_the_run(run, tmp_path):
    """Even if the constructor makes another one now, as a download that has changed would."""
    trainer = run()

    class Changed(Guided):
        def __init__(self, image, latent_dim, *, teacher: int = 5):
            super().__init__(image, latent_dim, teacher=5)

    class Other:
        @gankit.hookimpl
        def register(self, registries):
            registries.generators.add("guided", Changed)

    assert torch.equal(gankit.load_generator(tmp_path / "run", plugins=[Other()]).sample(4), trainer.sample(4))
    (tmp_path / "run" / "frozen.safetensors").unlink()
    assert torch.equal(gankit.load_generator(tmp_path / "run", plugins=[Plugin()]).sample(4), trainer.sample(4))
    with pytest.raises(gankit.CheckpointError, match="was trained with another frozen network 'generator.guide': its SHA"):
        gankit.load_generator(tmp_path / "run", plugins=[Other()])


def test_a_run_continues_with_the_same_network_only(run, runtime, tmp_path):
    run()
    runtime.resume(tmp_path / "run", ["train.steps=6"]).fit()
    with pytest.raises(gankit.CheckpointError, match="was trained with another frozen network 'generator.guide'"):
        runtime.resume(tmp_path / "run", ["train.steps=8", "generator.teacher=1"])


def test_a_teacher_of_a_game_is_recorded(runtime, recipe, tmp_path):
    class Taught(gankit.Adversarial):
        teacher_bias = 0.0

        def setup(self):
            linear = nn.Linear(1, 1)
            nn.init.constant_(linear.weight, 1.0)
            nn.init.constant_(linear.bias, self.teacher_bias)
            self.teacher = gankit.Frozen(linear)

    class Games:
        @gankit.hookimpl
        def register(self, registries):
            registries.games.add("taught", Taught)

    runtime.load_plugin(Games())
    runtime.assemble(recipe(train={"game": "taught"}), tmp_path / "run").fit()
    Taught.teacher_bias = 1.0
    with pytest.raises(gankit.CheckpointError, match="another frozen network 'train.game.teacher'"):
        runtime.resume(tmp_path / "run", ["train.steps=6"])
