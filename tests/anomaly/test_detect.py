"""The first NaN or infinity of a run."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from gankit.anomaly.detect import NonFiniteDetector, not_finite_in
from gankit.anomaly.locate_layer import checking_every_layer


@pytest.fixture
def state():
    discriminator = nn.Sequential(nn.Linear(3, 1), nn.BatchNorm1d(1))
    players = {"generator": nn.Linear(2, 3), "discriminator": discriminator}
    trained = {player: {player: network} for player, network in players.items()}
    scaler = SimpleNamespace(enabled=True, skipped_in_a_row=torch.tensor(0))
    return SimpleNamespace(trained=trained, scalers={"generator": scaler}, **players)


@pytest.fixture
def detector(state):
    return NonFiniteDetector(state, torch.device("cpu"))


def loss(value):
    return {"loss": torch.tensor(value), "logits": torch.tensor(0.0)}


def test_the_first_step_is_kept(detector):
    for step, value in enumerate([1.0, float("nan"), 2.0, float("inf")], 1):
        detector.check_scalars(loss(value), step)
    assert detector.first() == (2, ("loss",))


def test_weights_precede_the_scalars_of_a_step(detector, state):
    state.discriminator[0].weight.data[0, 1] = float("nan")
    detector.check_weights(3)
    detector.check_scalars(loss(float("nan")), 3)
    assert detector.first() == (3, ("discriminator 0.weight",))


def test_a_finite_run_has_none_and_reset_forgets(detector):
    detector.check_weights(1)
    detector.check_scalars(loss(1e30), 1)
    assert detector.first() is None
    detector.check_scalars(loss(float("inf")), 2)
    detector.reset()
    assert detector.first() is None


def test_many_skipped_updates_in_a_row_are_an_anomaly(detector, state):
    for step, skipped in enumerate([1, 99, 100, 101], 1):
        state.scalers["generator"].skipped_in_a_row = torch.tensor(skipped)
        detector.check_scalers(step)
        assert (detector.first() is None) == (skipped < 100)
    assert detector.first() == (3, ("the gradients of 100 updates of the generator in a row",))


def test_statistics_of_batch_norm_count_as_weights(state):
    networks = {"generator": state.generator, "discriminator": state.discriminator}
    assert not_finite_in(networks) is None
    state.discriminator[1].running_var.fill_(float("inf"))
    assert not_finite_in(networks) == "discriminator 1.running_var"


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_an_overflow_that_only_skips_an_update_is_not_located(runtime, recipe, optimizer):
    settings = {player: {"name": optimizer, "lr": 1e-3} for player in ("generator", "discriminator")}
    trainer = runtime.assemble(recipe(optimizers=settings, train={"precision": "fp16"}))
    for scaler in trainer.state.scalers.values():
        saved = scaler.state_dict()
        saved["scaler"]["scale"] = 2.0**30  # too large, as at the start of a run
        scaler.load_state_dict(saved)
    with checking_every_layer(trainer.context, trainer.state, overflows=False):
        scalars = trainer.step()
    assert scalars["discriminator_skipped_updates"] == 1
