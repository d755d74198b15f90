"""Adapts an optimizer's saved state to another set of parameters, after ``train.freeze`` has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import torch
from torch import nn

Names = Sequence[Sequence[str]]
"""The names of the parameters in each group of an optimizer."""


def parameter_names(optimizer: torch.optim.Optimizer, modules: Mapping[str, nn.Module]) -> list[list[str]]:
    """The names of the optimizer's parameters. Those that are in none of the modules are numbered.

    Args:
        optimizer: of a player.
        modules: the player's network first. The names of parameters of the others begin with those of their modules.
    """
    (_, network), *others = modules.items()
    named = [*network.named_parameters()]
    for prefix, module in others:
        named += module.named_parameters(prefix)
    names = {id(parameter): name for name, parameter in named}
    numbers = count()
    return [
        [names.get(id(parameter)) or f"#{next(numbers)}" for parameter in group["params"]]
        for group in optimizer.param_groups
    ]


def fitted_state(
    saved: Mapping[str, Any], before: Names | None, fresh: Mapping[str, Any], now: Names
) -> Mapping[str, Any]:
    """The saved state of an optimizer for other parameters: those that are new have the state of a new run.

    Args:
        saved: a state dict.
        before: the names of its parameters; None if they were not recorded.
        fresh: the state dict of the optimizer at the start of a new run.
        now: the names of its parameters.

    Raises:
        ValueError: ``before`` does not fit ``saved``, or is None, and the number of parameters has changed.
    """
    if before is None:
        if [len(group["params"]) for group in saved["param_groups"]] != [*map(len, now)]:
            raise ValueError(
                "it was saved by an earlier version, which did not record which parameters were trained; resume with "
                "the run's train.freeze until there is a new checkpoint"
            )
        return saved
    if [*map(list, before)] == [*map(list, now)]:
        return saved
    old, new = _indices(saved, before), _indices(fresh, now)
    group_of = {name: group for group, names in zip(saved["param_groups"], before, strict=True) for name in names}
    groups = [
        {**next((group_of[name] for name in names if name in group_of), group), "params": group["params"]}
        for group, names in zip(fresh["param_groups"], now, strict=True)
    ]
    state = {index: fresh["state"][index] for index in new.values() if index in fresh["state"]}
    state |= {
        new[name]: saved["state"][index] for name, index in old.items() if name in new and index in saved["state"]
    }
    return {**saved, "param_groups": groups, "state": state}


def _indices(state: Mapping[str, Any], names: Names) -> dict[str, int]:
    """The index of each parameter in a state dict. Raises: ValueError: there are more or fewer names than indices."""
    return {
        name: index
        for group, of_group in zip(state["param_groups"], names, strict=True)
        for index, name in zip(group["params"], of_group, strict=True)
    }
