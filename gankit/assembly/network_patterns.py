"""Patterns of names in G and D, as ``train.freeze`` and ``train.checkpoint_activations`` have them for each network."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Literal

from torch import nn

from ..errors import Problem
from ..interfaces import PLAYERS, Player
from ..recipe.checked_recipe import CheckedRecipe
from ..recipe.model import Recipe
from .selection import no_effect
from .weight_names import matches, no_match

Key = Literal["freeze", "checkpoint_activations"]
ProblemsOfNetwork = Callable[[Recipe, Player, nn.Module], Iterator[Problem]]


def patterns_of(recipe: Recipe, key: Key, player: Player) -> Sequence[str]:
    """The patterns that the section ``train.KEY`` has for a player's network."""
    section = getattr(recipe.train, key)
    return () if section is None else getattr(section, player)


def unmatched_patterns(
    recipe: Recipe, key: Key, player: Player, names: Collection[str], described: str
) -> Iterator[Problem]:
    """A problem for each pattern that matches none of the names.

    Args:
        recipe: with the section ``train.KEY``.
        key: of the section.
        player: whose network it is.
        names: in the network.
        described: what they are the names of, such as "parameter".
    """
    for index, pattern in enumerate(patterns_of(recipe, key, player)):
        if not any(matches([pattern], name) for name in names):
            message = no_match(pattern, names, f"{described} of the {player}")
            yield recipe.document.problem(("train", key, player, index), message)


def check_patterns(
    checked: CheckedRecipe, networks: Mapping[Player, nn.Module | None], key: Key, find: ProblemsOfNetwork
) -> Iterator[Problem]:
    """The problems of the section ``train.KEY``.

    Args:
        checked: the recipe with its components.
        networks: of the players; None for one that the meta device cannot run.
        key: of the section.
        find: the problems of its patterns for a network.
    """
    for player in PLAYERS:
        network = networks.get(player)
        if not patterns_of(checked.recipe, key, player):
            continue
        if player not in checked.players:
            yield checked.recipe.document.problem(("train", key, player), no_effect(checked, f"has no {player}"))
        elif network is not None:
            yield from find(checked.recipe, player, network)
