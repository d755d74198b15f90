"""The players' optimizers, with the schedules that keep them at the settings of the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from .selection import Selections
from ..errors import RecipeError
from ..recipe.model import Recipe
from ..training.schedules import OptimizerSchedule, parameter_groups
from ..interfaces import PLAYERS


def build_optimizers(
    recipe: Recipe, networks: Mapping[str, nn.Module], choices: Selections
) -> tuple[dict[Any, Any], list[OptimizerSchedule]]:
    """Each player's optimizer, and what keeps it at the recipe's settings.

    Raises:
        RecipeError: an optimizer refuses its parameters.
    """
    optimizers, schedules = {}, []
    for side in PLAYERS:
        groups = parameter_groups(networks[side])
        own = [set(group) - {"params"} for group in groups]
        chosen = choices["optimizers", side]
        try:
            optimizers[side] = chosen.build(groups)
        except (ValueError, TypeError, RuntimeError) as error:
            raise RecipeError([recipe.document.problem(("optimizers", side), str(error))]) from None
        schedules.append(OptimizerSchedule(optimizers[side], chosen.params, own))
    return optimizers, schedules
