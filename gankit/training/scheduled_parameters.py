"""Updates the scheduled parameters of components and optimizers during training."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch
from torch import nn

from ..registered_component import Params


class ComponentSchedule:
    """Sets the attributes of a component that are named like its scheduled parameters."""

    def __init__(self, component: Any, params: Params) -> None:
        self.component, self.params = component, params

    def advance(self, images: int) -> None:
        """Set the values after ``images`` real images."""
        for name in self.params.scheduled:
            setattr(self.component, name, self.params.at(images)[name])


class OptimizerSchedule:
    """Sets the parameters of an optimizer's groups from the recipe.

    Args:
        optimizer: a group's ``lr_scale`` multiplies the recipe's ``lr``.
        params: from the recipe.
        own: for each group, the keys that the module set itself, which stay as they are.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, params: Params, own: Iterable[Collection[str]]) -> None:
        self.optimizer, self.params, self.own = optimizer, params, list(own)
        self.started = False

    def advance(self, images: int) -> None:
        """Set the values after ``images`` real images.

        The first call sets all parameters, as an optimizer restored from a checkpoint has the settings of that time,
        and the recipe may have changed since.
        """
        names = self.params.scheduled if self.started else tuple(type(self.params).model_fields)
        self.started = True
        if not names:
            return
        values = self.params.at(images)
        for group, own in zip(self.optimizer.param_groups, self.own, strict=True):
            for name in names:
                if name in group and name not in own:
                    group[name] = values[name] * group.get("lr_scale", 1.0) if name == "lr" else values[name]


def parameter_groups(module: nn.Module) -> list[dict[str, Any]]:
    """The parameter groups for an optimizer: the module's ``parameter_groups()``, or one group of all parameters.

    Parameters that do not require gradients are left out.
    """
    own: Callable[[], Iterable[dict[str, Any]]] | None = getattr(module, "parameter_groups", None)
    groups = [{"params": module.parameters()}] if own is None else own()
    chosen = [group | {"params": [p for p in group["params"] if p.requires_grad]} for group in groups]
    return [group for group in chosen if group["params"]]
