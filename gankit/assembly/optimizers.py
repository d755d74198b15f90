"""The players' optimizers, and the schedules that keep their settings up to date."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from ..calls import described
from ..interfaces import Player
from ..messages import failing_line, one_line
from ..recipe.checked_recipe import CheckedRecipe
from ..training.scheduled_parameters import OptimizerSchedule, parameter_groups


def build_optimizers(
    checked: CheckedRecipe, networks: Mapping[Player, nn.Module], components: Iterable[Any] = ()
) -> tuple[dict[Player, torch.optim.Optimizer], list[OptimizerSchedule]]:
    """Each player's optimizer with its schedule.

    Args:
        checked: the recipe with its components.
        networks: of the players.
        components: losses and regularizers, each of which the optimizer of its ``player`` trains.

    Raises:
        RecipeError: an optimizer refuses its parameters.
    """
    optimizers, schedules = {}, []
    for player in checked.players:
        modules = [networks[player], *(part for part in components if part.player == player)]
        groups = [group for module in modules for group in parameter_groups(module)]
        own_settings = [set(group) - {"params"} for group in groups]
        path = ("optimizers", player)
        try:
            optimizer = checked.build(path, parameters=groups)
            if not isinstance(optimizer, torch.optim.Optimizer):
                raise TypeError(f"returns {described(optimizer)}, which is not a torch.optim.Optimizer")
        except (ValueError, TypeError, RuntimeError) as error:
            raise checked.recipe.document.error(path, str(error)) from None
        except Exception as error:  # a plugin's factory may raise anything
            message = f"{type(error).__name__}: {one_line(error)}{failing_line(error)}"
            raise checked.recipe.document.error(path, message) from error
        optimizers[player] = optimizer
        schedules.append(OptimizerSchedule(optimizer, checked[path].params, own_settings))
    return optimizers, schedules
