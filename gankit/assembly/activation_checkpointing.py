"""Modules that ``train.checkpoint_activations`` selects by patterns of their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import nn

from ..device.activation_checkpointing import checkpoint_activations
from ..errors import Problem, RecipeError
from ..interfaces import Player
from ..recipe.checked_recipe import CheckedRecipe
from ..recipe.model import Recipe
from .network_patterns import Key, check_patterns, patterns_of, unmatched_patterns
from .weight_names import is_inside, matches

KEY: Key = "checkpoint_activations"


def checkpoint_modules(recipe: Recipe, networks: Mapping[Player, nn.Module]) -> None:
    """Checkpoint the activations of the modules that the recipe names, except for modules inside of others.

    Args:
        recipe: of the run.
        networks: G and D by name. Copies of them that are made later are checkpointed as well.

    Raises:
        RecipeError: a pattern matches no module.
    """
    if problems := [problem for player, network in networks.items() for problem in _problems(recipe, player, network)]:
        raise RecipeError(problems)
    for player, network in networks.items():
        chosen: dict[str, nn.Module] = {}
        for name, module in _modules(network).items():  # each one after those that it is in
            inside = any(is_inside(name, outer) for outer in chosen)
            if not inside and module not in chosen.values() and matches(patterns_of(recipe, KEY, player), name):
                chosen[name] = module
        for module in chosen.values():
            checkpoint_activations(module)


def check_activation_checkpointing(
    checked: CheckedRecipe, networks: Mapping[Player, nn.Module | None]
) -> Iterator[Problem]:
    """The problems of ``train.checkpoint_activations``; the arguments are those of `check_patterns`."""
    return check_patterns(checked, networks, KEY, _problems)


def _problems(recipe: Recipe, player: Player, network: nn.Module) -> Iterator[Problem]:
    return unmatched_patterns(recipe, KEY, player, _modules(network), "module")


def _modules(network: nn.Module) -> dict[str, nn.Module]:
    """The modules of a network that can be called, which lists of modules cannot, by all of their names."""
    named = network.named_modules(remove_duplicate=False)
    return {name: module for name, module in named if name and type(module).forward is not nn.Module.forward}
