"""Keeps scheduled parameters up to date: of components, and of optimizers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch
from torch import nn

from ..registry import Params


class ComponentSchedule:
    """Sets the attributes that a component keeps its scheduled parameters in."""

    def __init__(self, component: Any, params: Params) -> None:
        self.component, self.params = component, params

    def advance(self, images: int) -> None:
        """Bring them to their values after ``images`` real images."""
        if self.params.scheduled:
            values = self.params.at(images)
            for name in self.params.scheduled:
                setattr(self.component, name, values[name])


class OptimizerSchedule:
    """Sets what an optimizer's groups say, from the recipe; a group's own settings stay as they are.

    Args:
        optimizer: whose groups may hold an ``lr_scale`` that multiplies the recipe's ``lr``.
        params: from the recipe.
        own: for each group, the keys that the network set itself.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, params: Params, own: Iterable[Collection[str]]) -> None:
        self.optimizer, self.params, self.own = optimizer, params, list(own)
        self.started = False

    def advance(self, images: int) -> None:
        """Bring the groups to the values after ``images`` real images.

        The first time sets everything: a restored optimizer brings the settings of its checkpoint along, and the
        recipe may have other ones now.
        """
        names = self.params.scheduled if self.started else tuple(type(self.params).model_fields)
        self.started = True
        if not names:
            return
        values = self.params.at(images)
        for group, own in zip(self.optimizer.param_groups, self.own, strict=True):
            for name in names:
                if name in group and name not in own:
                    scale = group.get("lr_scale", 1.0) if name == "lr" else None
                    group[name] = values[name] if scale is None else values[name] * scale


def parameter_groups(network: nn.Module) -> list[dict[str, Any]]:
    """What the optimizer is given: the network's own ``parameter_groups()`` or all of its parameters.

    Parameters that require no gradient are left out.
    """
    own: Callable[[], Iterable[dict[str, Any]]] | None = getattr(network, "parameter_groups", None)
    groups = [{"params": network.parameters()}] if own is None else own()
    chosen = [group | {"params": [p for p in group["params"] if p.requires_grad]} for group in groups]
    return [group for group in chosen if group["params"]]
