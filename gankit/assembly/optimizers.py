"""The players' optimizers, with the schedules that keep them at the settings of the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ..check import Choices
from ..errors import RecipeError
from ..recipe import Recipe
from ..training.schedule import OptimizerSchedule, parameter_groups
from ..training.state import PLAYERS


def build_optimizers(
    recipe: Recipe, networks: Mapping[str, nn.Module], choices: Choices
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
