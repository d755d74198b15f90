"""The saved state of an optimizer for other parameters than those it was saved for."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gankit.training.optimizer_state import fitted_state, parameter_names

NAMES = ("a", "b", "c", "d")
OPTIMIZERS = {
    "adam": lambda groups: torch.optim.Adam(groups, lr=0.1),
    "sgd": lambda groups: torch.optim.SGD(groups, lr=0.1),
    "momentum": lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9),
    "adagrad": lambda groups: torch.optim.Adagrad(groups, lr=0.1, initial_accumulator_value=0.5),
}
trained = st.sets(st.sampled_from(NAMES), min_size=1)


def optimizer_of(kind, network, names, lr):
    """An optimizer of the named parameters in two groups, of which the first has its own learning rate."""
    groups = [{"params": [network[n] for n in NAMES[:2] if n in names], "lr": lr}, {"params": [network[n] for n in NAMES[2:] if n in names]}]
    return OPTIMIZERS[kind]([group for group in groups if group["params"]])


def step(optimizer, network):
    for index, name in enumerate(NAMES):
        network[name].grad = torch.full_like(network[name], index + 1.0)
    optimizer.step()


@given(kind=st.sampled_from(sorted(OPTIMIZERS)), before=trained, now=trained)
@settings(max_examples=80, deadline=None)
def test_each_parameter_keeps_its_own_state_and_new_ones_have_that_of_a_new_run(kind, before, now):
    network = nn.ParameterDict({name: torch.zeros(index + 1) for index, name in enumerate(NAMES)})
    old = optimizer_of(kind, network, before, lr=0.5)
    for _ in range(3):
        step(old, network)
    old_names, saved = parameter_names(old, {"generator": network}), copy.deepcopy(old.state_dict())
    new = optimizer_of(kind, network, now, lr=0.7)
    fresh = copy.deepcopy(new.state_dict())
    new.load_state_dict(fitted_state(saved, old_names, fresh, parameter_names(new, {"generator": network})))
    untouched = optimizer_of(kind, network, now, lr=0.7)
    for name in now:
        expected = (old if name in before else untouched).state.get(network[name], {})
        state = new.state.get(network[name], {})
        assert state.keys() == expected.keys()
        assert all(torch.equal(torch.as_tensor(state[key]), torch.as_tensor(expected[key])) for key in state)
    rates = {name: group["lr"] for group in new.param_groups for name in NAMES if any(p is network[name] for p in group["params"])}
    assert rates.keys() == now
    for name, rate in rates.items():
        own = name in NAMES[:2]
        assert rate == (0.1 if not own else 0.5 if before & {*NAMES[:2]} & now else 0.7)
    step(new, network)


def test_the_same_parameters_get_the_saved_state_itself():
    network = nn.ParameterDict({name: torch.zeros(2) for name in NAMES})
    optimizer = optimizer_of("adam", network, NAMES, lr=0.5)
    saved, names = optimizer.state_dict(), parameter_names(optimizer, {"generator": network})
    assert fitted_state(saved, names, {}, names) is saved
    assert fitted_state(saved, None, {}, names) is saved


def test_names_that_were_not_recorded():
    network = nn.ParameterDict({name: torch.zeros(2) for name in NAMES})
    old, new = (optimizer_of("adam", network, names, lr=0.5) for names in (NAMES, NAMES[:3]))
    with pytest.raises(ValueError, match="saved by an earlier version, which did not record which parameters"):
        fitted_state(old.state_dict(), None, new.state_dict(), parameter_names(new, {"generator": network}))


def test_parameters_that_are_not_the_network_s():
    network, other = nn.ParameterDict({"a": torch.zeros(2)}), nn.Parameter(torch.zeros(3))
    optimizer = torch.optim.SGD([{"params": [other, network["a"]]}, {"params": [nn.Parameter(torch.zeros(1))]}])
    assert parameter_names(optimizer, {"generator": network}) == [["#0", "a"], ["#1"]]
