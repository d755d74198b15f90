"""Parameters that ``train.freeze`` excludes from training, by patterns of their names.

As in FreezeD (arXiv 2002.10964), only parameters are frozen. The network stays in training mode, so that buffers such
as BatchNorm's running statistics are updated in frozen layers as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from torch import nn

from ..errors import Problem, RecipeError
from ..events import FrozenParameters
from ..interfaces import Player
from ..recipe.checked_recipe import CheckedRecipe
from ..recipe.model import Recipe
from .network_patterns import Key, check_patterns, patterns_of, unmatched_patterns
from .weight_names import matches

KEY: Key = "freeze"


def freeze_parameters(recipe: Recipe, networks: Mapping[Player, nn.Module]) -> FrozenParameters | None:
    """Freeze the parameters that the recipe names. Called before the optimizers are built, which leave them out.

    Args:
        recipe: of the run.
        networks: G and D by name.

    Returns:
        What is frozen; None if nothing is.

    Raises:
        RecipeError: a pattern matches no parameter, or no parameter of a network would be trained.
    """
    if problems := [problem for player, network in networks.items() for problem in _problems(recipe, player, network)]:
        raise RecipeError(problems)
    names: dict[str, list[str]] = {}
    counts: dict[str, tuple[int, int]] = {}
    for player, network in networks.items():
        parameters = dict(network.named_parameters())
        for name in (chosen := frozen_names(recipe, player, network)):
            parameters[name].requires_grad_(False)
        if chosen:
            names[player] = chosen
            counts[player] = (_count(parameters[name] for name in chosen), _count(parameters.values()))
    return FrozenParameters(names, counts) if names else None


def frozen_names(recipe: Recipe, player: Player, network: nn.Module) -> list[str]:
    """The names of the player's parameters that the recipe freezes. One of several names of a parameter suffices."""
    named = network.named_parameters(remove_duplicate=False)
    chosen = {id(parameter) for name, parameter in named if matches(patterns_of(recipe, KEY, player), name)}
    return [name for name, parameter in network.named_parameters() if id(parameter) in chosen]


def check_frozen_parameters(checked: CheckedRecipe, networks: Mapping[Player, nn.Module | None]) -> Iterator[Problem]:
    """The problems of ``train.freeze``; the arguments are those of `check_patterns`."""
    return check_patterns(checked, networks, KEY, _problems)


def _problems(recipe: Recipe, player: Player, network: nn.Module) -> Iterator[Problem]:
    names = [name for name, _ in network.named_parameters(remove_duplicate=False)]
    yield from unmatched_patterns(recipe, KEY, player, names, "parameter")
    frozen = frozen_names(recipe, player, network)
    if frozen and all(name in frozen for name, parameter in network.named_parameters() if parameter.requires_grad):
        message = f"leaves no parameter of the {player} to train"
        yield recipe.document.problem(("train", KEY, player), message)


def _count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
