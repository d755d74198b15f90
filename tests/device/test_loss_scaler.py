"""The loss scaler of one player."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from gankit.device.engine import Engine
from gankit.device.loss_scaler import LossScaler

CPU = torch.device("cpu")
OPTIMIZERS = {
    "fused": lambda parameters: torch.optim.Adam(parameters, lr=0.1, fused=True),
    "not fused": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
}


@pytest.fixture(params=OPTIMIZERS)
def player(request):
    """A network, its optimizer and its scaler, and a function for one update with a factor of the gradients."""

    class Player:
        def __init__(self):
            torch.manual_seed(0)
            self.network = nn.Linear(3, 2)
            self.optimizer = OPTIMIZERS[request.param](self.network.parameters())
            self.scaler = LossScaler(Engine(CPU, "fp16"))

        def update(self, factor=1.0, scaler=None):
            scaler = scaler or self.scaler
            self.optimizer.zero_grad()
            scaler.scale(self.network(torch.ones(1, 3)).square().sum()).backward()
            for parameter in self.network.parameters():
                parameter.grad *= factor
            scaler.unscale(self.optimizer)
            scaler.step(self.optimizer)

        def everything(self):
            return copy.deepcopy((self.network.state_dict(), self.optimizer.state_dict()))

    return Player()


def equal(one, other):
    """Whether nested containers of tensors and numbers are equal."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_gradients_are_those_without_scaling(player):
    """Scales are powers of two, so that fp32 gradients have the same bits."""
    twin = copy.deepcopy(player.network)
    twin(torch.ones(1, 3)).square().sum().backward()
    player.update()
    for own, other in zip(player.network.parameters(), twin.parameters(), strict=True):
        assert torch.equal(own.grad, other.grad)


@pytest.mark.parametrize("factor", [math.inf, math.nan])
def test_a_skipped_update_changes_neither_weights_nor_optimizer(player, factor):
    player.update()
    before, scale = player.everything(), float(player.scaler.factor)
    player.update(factor)
    assert equal(player.everything(), before)
    assert float(player.scaler.factor) == scale / 2
    assert (int(player.scaler.skipped), int(player.scaler.skipped_in_a_row)) == (1, 1)
    player.update()
    assert not equal(player.everything(), before)
    assert (int(player.scaler.skipped), int(player.scaler.skipped_in_a_row)) == (1, 0)


def test_a_restored_scaler_continues(player):
    for factor in (1, math.inf, math.inf):
        player.update(factor)
    restored = LossScaler(Engine(CPU, "fp16"))
    restored.load_state_dict(copy.deepcopy(player.scaler.state_dict()))
    assert restored.state_dict() == player.scaler.state_dict()
    for _ in range(2):
        player.update(math.inf, restored)
    assert (int(restored.skipped), int(restored.skipped_in_a_row)) == (4, 4)
    assert float(restored.factor) == 2.0**12


def test_the_scale_grows_after_2000_updates(player):
    state = player.scaler.state_dict()
    state["scaler"]["_growth_tracker"] = 1999
    player.scaler.load_state_dict(state)
    player.update()
    assert float(player.scaler.factor) == 2.0**17
    assert int(player.scaler.skipped) == 0


def test_restoring_ends_an_update_that_failed_midway(player):
    player.scaler.scale(torch.ones(()))
    state = player.scaler.state_dict()
    player.network(torch.ones(1, 3)).sum().backward()
    player.scaler.unscale(player.optimizer)
    player.scaler.load_state_dict(state)
    player.update()
    assert int(player.scaler.skipped) == 0


def test_without_a_state_it_begins_anew(player):
    """As a run that goes back to a checkpoint of another precision."""
    player.update(math.inf)
    player.scaler.load_state_dict(None)
    assert (float(player.scaler.factor), int(player.scaler.skipped), int(player.scaler.skipped_in_a_row)) == (2.0**16, 0, 0)


@pytest.mark.parametrize("broken", [{}, {"scaler": {}, "skipped": 0, "skipped_in_a_row": 0}])
def test_damaged_states_raise(player, broken):
    with pytest.raises((KeyError, RuntimeError)):
        player.scaler.load_state_dict(broken)


@pytest.mark.parametrize("precision", ["fp32", "fp64", "bf16", "auto"])
def test_other_precisions_scale_nothing(precision):
    """``auto`` is never fp16."""
    engine = Engine(CPU, precision)
    assert engine.precision != "fp16"
    scaler, loss = LossScaler(engine), torch.ones((), requires_grad=True)
    assert scaler.scale(loss) is loss
    optimizer = torch.optim.SGD([loss], lr=1.0)
    loss.grad = torch.full((), math.inf)
    scaler.unscale(optimizer)
    scaler.step(optimizer)
    assert loss.item() == -math.inf
