"""Parameters that ``train.freeze`` excludes from training, by patterns of their names.

As in FreezeD (arXiv 2002.10964), only parameters are frozen. The network stays in training mode, so that buffers such
as BatchNorm's running statistics are updated in frozen layers as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn

from ..errors import Problem, RecipeError
from ..events import Frozen
from ..interfaces import PLAYERS, Player
from ..recipe.checked_recipe import CheckedRecipe
from ..recipe.located_document import KeyPath
from ..recipe.model import Recipe
from .dry_run import build_on_meta
from .weight_names import matches, no_match

SECTION: KeyPath = ("train", "freeze")


def freeze_parameters(recipe: Recipe, networks: Mapping[Player, nn.Module]) -> Frozen | None:
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
    return Frozen(names, counts) if names else None


def frozen_names(recipe: Recipe, player: Player, network: nn.Module) -> list[str]:
    """The names of the player's parameters that the recipe freezes. One of several names of a parameter suffices."""
    named = network.named_parameters(remove_duplicate=False)
    chosen = {id(parameter) for name, parameter in named if matches(_patterns(recipe, player), name)}
    return [name for name, parameter in network.named_parameters() if id(parameter) in chosen]


def check_frozen_parameters(
    checked: CheckedRecipe, context: Mapping[str, Any], not_tried: Collection[KeyPath]
) -> Iterator[Problem]:
    """The problems of ``train.freeze``, as far as the networks can be built on the meta device.

    Args:
        checked: the recipe with its components.
        context: the values for the constructors of networks.
        not_tried: the paths of networks that the meta device cannot run.
    """
    for player in PLAYERS:
        if not _patterns(checked.recipe, player) or (player,) in not_tried:
            continue
        if player not in checked.players:
            message = f"has no effect, because the game '{checked.recipe.train.game.name}' has no {player}; remove it"
            yield checked.recipe.document.problem((*SECTION, player), message)
            continue
        try:
            network = build_on_meta(partial(checked.build, player, **context))
        except Exception:  # reported where the networks are tried
            continue
        yield from _problems(checked.recipe, player, network)


def _patterns(recipe: Recipe, player: Player) -> Sequence[str]:
    return () if recipe.train.freeze is None else getattr(recipe.train.freeze, player)


def _problems(recipe: Recipe, player: Player, network: nn.Module) -> Iterator[Problem]:
    patterns, document = _patterns(recipe, player), recipe.document
    names = [name for name, _ in network.named_parameters(remove_duplicate=False)]
    for index, pattern in enumerate(patterns):
        if not any(matches([pattern], name) for name in names):
            message = no_match(pattern, names, f"parameter of the {player}")
            yield document.problem((*SECTION, player, index), message)
    frozen = frozen_names(recipe, player, network)
    if frozen and all(name in frozen for name, parameter in network.named_parameters() if parameter.requires_grad):
        yield document.problem((*SECTION, player), f"leaves no parameter of the {player} to train")


def _count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
