"""``train.precision: fp16``: the networks in fp16, scaled losses, and skipped updates. Linear layers are quick on the CPU."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn

import gankit
from gankit.game.turn import PlayerTurn

FP16 = {"precision": "fp16", "device": "cpu"}
ADAM = {"name": "adam", "lr": 1e-3}


class Critic(nn.Module):
    """Two linear layers with BatchNorm, slopes of any size, and gradients that overflow if it ``explodes``."""

    def __init__(self, image: gankit.ImageSpec, *, slope: float = 1.0, explodes: bool = False) -> None:
        super().__init__()
        self.hidden = nn.Linear(image.channels * image.height * image.width, 8)
        self.norm, self.out = nn.BatchNorm1d(8), nn.Linear(8, 1)
        self.slope, self.explodes, self.calls = slope, explodes, 0

    def forward(self, images, labels=None):
        self.calls += 1
        hidden = self.norm(self.hidden(images.flatten(1) * self.slope)).tanh()
        if self.explodes and hidden.requires_grad:
            hidden.register_hook(lambda gradient: gradient * math.inf)
        return self.out(hidden).flatten()


class Plugin:
    @gankit.hookimpl
    def register(self, registries):
        registries.discriminators.add("critic", Critic)


@pytest.fixture
def make(runtime, recipe, tmp_path):
    """``make("run", **changes)``: a trainer in fp16 on linear networks."""
    runtime.load_plugin(Plugin())

    def assemble(name="run", **changes):
        changes["train"] = {"steps": 8, **FP16, **changes.get("train", {})}
        defaults = {
            "generator": {"name": "plain"},
            "discriminator": {"name": "critic"},
            "optimizers": {"generator": ADAM, "discriminator": ADAM},
        }
        return runtime.assemble(recipe(**defaults | changes), tmp_path / name)

    return assemble


def overflow(trainer, player, times=1):
    """Let the gradient of a weight of the player be infinite in its next updates."""
    parameter = next(trainer.state.players[player].parameters())

    def hook(gradient):
        nonlocal times
        times -= 1
        return gradient * math.inf if times >= 0 else gradient

    return parameter.register_hook(hook)


def weights(trainer, player):
    return [parameter.detach().clone() for parameter in trainer.state.players[player].parameters()]


def equal(one, other):
    return all(map(torch.equal, one, other))


def test_the_networks_compute_in_fp16_and_the_losses_in_fp32(make):
    trainer = make(regularizers=["lecam"])
    seen = {}
    for player, network in trainer.state.players.items():
        layer = next(module for module in network.modules() if isinstance(module, nn.Linear))
        layer.register_forward_hook(lambda module, inputs, output, player=player: seen.update({player: output.dtype}))
    scalars = trainer.step()
    assert seen == {"generator": torch.float16, "discriminator": torch.float16}
    assert all(value.dtype == torch.float32 for value in scalars.values())
    assert {name: float(value) for name, value in scalars.items() if "scale" in name or "skipped" in name} == {
        "generator_loss_scale": 65536,
        "discriminator_loss_scale": 65536,
        "generator_skipped_updates": 0,
        "discriminator_skipped_updates": 0,
    }


@pytest.mark.parametrize("microbatch", [None, 4])  # BatchNorm of two images has hardly a gradient
def test_gradients_agree_with_fp32_to_five_percent(make, microbatch):
    """In norm, of each weight, after one step of SGD. The largest differences are those of gradients through BatchNorm."""
    sgd = {"name": "sgd", "lr": 0.01}
    changes = {"optimizers": {"generator": sgd, "discriminator": sgd}, "regularizers": [{"name": "r1", "interval": 2}]}
    steps = []
    for precision in ("fp16", "fp32"):
        trainer = make(precision, **changes, train={"precision": precision, "microbatch": microbatch})
        before = [value for player in trainer.state.players for value in weights(trainer, player)]
        trainer.step()
        after = [value for player in trainer.state.players for value in weights(trainer, player)]
        steps.append([new - old for new, old in zip(after, before, strict=True)])
    for low, full in zip(*steps, strict=True):
        assert float((low - full).norm()) <= 0.05 * float(full.norm()) + 1e-6  # a bias before BatchNorm has no gradient


def test_clipping_sees_unscaled_gradients(make):
    """Clipping a scaled gradient to this norm would leave almost nothing of it."""
    sgd = {"name": "sgd", "lr": 1.0}
    trainer = make(train={"clip_gradient": 0.01}, optimizers={"generator": sgd, "discriminator": sgd})
    before = weights(trainer, "generator")
    trainer.step()
    moved = [new - old for new, old in zip(weights(trainer, "generator"), before, strict=True)]
    assert float(torch.nn.utils.get_total_norm(moved)) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("microbatch", [None, 4])  # BatchNorm of two images has hardly a gradient
def test_a_skipped_update_leaves_the_weights_and_counts_as_a_step(make, microbatch):
    trainer = make(ema={"half_life_images": 40}, train={"microbatch": microbatch})
    trainer.step()
    before = {player: weights(trainer, player) for player in trainer.state.players}
    averaged = trainer.state.ema.updates
    overflow(trainer, "discriminator")
    scalars = trainer.step()
    assert equal(weights(trainer, "discriminator"), before["discriminator"])
    assert not equal(weights(trainer, "generator"), before["generator"])
    assert trainer.state.step == 2
    assert trainer.state.turns == {"discriminator": 2, "generator": 2}
    assert trainer.state.ema.updates == averaged + 1
    assert all(bool(value.isfinite()) for value in scalars.values())
    assert float(scalars["discriminator_skipped_updates"]) == 1
    assert float(scalars["discriminator_loss_scale"]) == 32768
    assert float(scalars["generator_loss_scale"]) == 65536
    trainer.step()
    assert not equal(weights(trainer, "discriminator"), before["discriminator"])


def test_a_run_with_skipped_updates_ends_well_and_resumes_exactly(make, runtime, tmp_path):
    whole = make("whole")
    overflow(whole, "generator", times=2)
    whole.fit()
    assert whole.not_finite() is None
    parts = make("parts")
    overflow(parts, "generator", times=2)
    for _ in parts:
        if parts.state.step == 3:
            break
    resumed = runtime.resume(tmp_path / "parts")
    assert int(resumed.state.scalers["generator"].skipped) == 2
    assert float(resumed.state.scalers["generator"].factor) == 2.0**14
    resumed.fit()
    for player in whole.state.players:
        assert equal(weights(whole, player), weights(resumed, player))
        assert whole.state.scalers[player].state_dict() == resumed.state.scalers[player].state_dict()


def test_a_checkpoint_of_another_precision(make, runtime, tmp_path):
    make(train={"steps": 2, "precision": "fp32"}).fit()
    resumed = runtime.resume(tmp_path / "run", ["train.precision=fp16", "train.steps=4"])
    resumed.fit()
    assert float(resumed.scalars["generator_loss_scale"]) == 65536
    back = runtime.resume(tmp_path / "run", ["train.precision=fp32", "train.steps=5"])
    back.fit()
    assert "generator_loss_scale" not in back.scalars


def test_a_hundred_skipped_updates_in_a_row_are_an_anomaly(make, tmp_path):
    trainer = make(
        discriminator={"name": "critic", "explodes": True},
        train={"steps": 150},
        callbacks=[{"name": "health", "every": 50}, {"name": "checkpoint", "every": 98}],
    )
    with pytest.raises(gankit.GankitError, match=r"in step 99, the gradient of the output of discriminator norm .BatchNorm1d.*first noticed in .*the gradients of 100 updates of the discriminator in a row"):
        trainer.fit()
    events = [json.loads(line) for line in (tmp_path / "run/events.jsonl").read_text().splitlines()]
    [finding] = [event for event in events if event.get("finding") == "not_finite"]
    assert (finding["figures"]["noticed_at_step"], finding["figures"]["replayed_from_step"]) == (100, 98)


def test_a_forward_that_overflows_is_an_anomaly(make):
    """No scale prevents it."""
    trainer = make(train={"steps": 2}, discriminator={"name": "critic", "slope": 1e6}, loss="wasserstein")
    with torch.no_grad():
        trainer.state.discriminator.out.bias.fill_(1e6)
    with pytest.raises(gankit.GankitError, match=r"the output of discriminator .*values NaN or infinite"):
        trainer.fit()


class TestPenalties:
    """D is differentiated with respect to images in fp32: the gradients are those of an fp32 run, bit by bit."""

    def turn(self, make, **critic):
        turns = {}
        for precision in ("fp16", "fp32"):
            trainer = make(precision, discriminator={"name": "critic", **critic}, train={"precision": precision})
            trainer.state.discriminator.eval()
            torch.manual_seed(0)
            batch = trainer.setup.loader.at(0, 8)
            turns[precision] = PlayerTurn(trainer.context, "discriminator", batch, images_seen=0, penalties=True)
        return turns["fp16"], turns["fp32"]

    @pytest.mark.parametrize("slope", [1.0, 1e-6])
    @pytest.mark.parametrize("logits_first", [False, True])
    def test_gradients_for_images(self, make, slope, logits_first):
        low, full = self.turn(make, slope=slope)
        if logits_first:  # as of a regularizer that precedes the penalty
            assert low.real_output.dtype == torch.float16
        own, expected = low.gradient(low.real), full.gradient(full.real)
        assert expected.abs().max() > 0
        assert torch.equal(own, expected)
        own.square().sum().backward()
        expected.square().sum().backward()
        pairs = zip(low.discriminator.parameters(), full.discriminator.parameters(), strict=True)
        assert all(torch.equal(a.grad, b.grad) for a, b in pairs if b.grad is not None)

    def test_the_loss_shares_the_forward_of_a_penalty(self, make):
        low, _ = self.turn(make)
        low.gradient(low.real)
        assert low.real_output.dtype == torch.float32
        assert low.fake_output.dtype == torch.float16
        assert low.discriminator.calls == 2
