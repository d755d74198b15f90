"""The average of G against one kept by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from gankit.training.ema import GeneratorEMA, ema_decay


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(3, 3), nn.BatchNorm1d(3)
        self.register_buffer("scale", torch.ones(3))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))


def test_parameters_and_batch_statistics_are_averaged_and_other_buffers_copied():
    torch.manual_seed(0)
    network = Small()
    average = GeneratorEMA(network)
    expected = copy.deepcopy(dict(network.state_dict()))
    for update in range(4):
        with torch.no_grad():
            for value in network.state_dict().values():
                value.add_(torch.randn(value.shape).mul(5).to(value.dtype))
        average.update(network, decay=0.75)
        for name, value in network.state_dict().items():
            if name in ("scale", "count") or not value.is_floating_point() or update == 0:
                expected[name] = value.clone()
            else:
                expected[name] = 0.75 * expected[name] + 0.25 * value
    for name, value in average.module.state_dict().items():
        assert torch.allclose(value, expected[name], atol=1e-6), name
    assert not any(p.requires_grad for p in average.module.parameters())


def test_frozen_parameters_are_copied():
    network = Small()
    average = GeneratorEMA(network, frozen=["linear.bias", "norm.weight"])
    average.update(network, decay=0.75)  # the first one copies all
    with torch.no_grad():
        for value in network.parameters():
            value.add_(1)
    average.update(network, decay=0.75)
    copied = {
        name
        for name, value in average.module.named_parameters()
        if torch.equal(value, dict(network.named_parameters())[name])
    }
    assert copied == {"linear.bias", "norm.weight"}


def test_the_half_life_is_one():
    """After as many images as the half-life, half of the old average is left, in however many updates."""
    kept = 1.0
    for batch in (100, 250, 50, 600):
        kept *= ema_decay(batch, images=10**9, half_life=1000.0, ramp_up=0.05)
    assert kept == pytest.approx(0.5)


def test_the_ramp_shortens_the_half_life_early_on():
    assert ema_decay(64, 1000, 1e6, ramp_up=0.05) == pytest.approx(0.5 ** (64 / 50))
    assert ema_decay(64, 1000, 1e6, ramp_up=None) == pytest.approx(0.5 ** (64 / 1e6))
    assert ema_decay(64, 64, 0.0, ramp_up=None) == 0.0


def test_samples_come_from_the_average(runtime, recipe):
    trainer = runtime.assemble(recipe(ema={"half_life_images": 10_000, "ramp_up": None}))
    for _ in range(4):
        trainer.step()
    ema, plain = trainer.state.ema.module, trainer.state.generator
    assert not torch.equal(next(ema.parameters()), next(plain.parameters()))
    trained = trainer.sample(8, seed=1)
    trainer.state.ema = None
    assert not torch.equal(trainer.sample(8, seed=1), trained)


def test_the_ramp_of_a_run_counts_the_images_of_the_step_itself(runtime, recipe):
    """A run's EMA against one kept by hand: the half-life after a step depends on the images including that step's."""
    trainer = runtime.assemble(recipe(ema={"half_life_images": 20, "ramp_up": 0.5}, train={"steps": 5}))
    expected: list[torch.Tensor] = []
    for step in range(1, 6):
        trainer.step()
        current = [p.detach().clone() for p in trainer.state.generator.parameters()]
        decay = 0.5 ** (8 / min(20, 0.5 * 8 * step))
        if not expected:
            expected = current
        expected = [decay * average + (1 - decay) * new for average, new in zip(expected, current, strict=True)]
        for average, by_hand in zip(trainer.state.ema.module.parameters(), expected, strict=True):
            torch.testing.assert_close(average, by_hand, rtol=1e-5, atol=1e-7)
