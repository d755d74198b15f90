"""Patterns of names in G and D, as ``train.freeze`` and ``train.checkpoint_activations`` have them for each network."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from torch import nn

from ..errors import Problem
from ..interfaces import PLAYERS, Player
from ..recipe.checked_recipe import CheckedRecipe
from ..recipe.located_document import KeyPath
from ..recipe.model import Recipe
from .dry_run import build_on_meta
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
    checked: CheckedRecipe,
    context: Mapping[str, Any],
    not_tried: Collection[KeyPath],
    key: Key,
    find: ProblemsOfNetwork,
) -> Iterator[Problem]:
    """The problems of the section ``train.KEY``, as far as the networks can be built on the meta device.

    Args:
        checked: the recipe with its components.
        context: the values for the constructors of networks.
        not_tried: the paths of networks that the meta device cannot run.
        key: of the section.
        find: the problems of its patterns for a network.
    """
    for player in PLAYERS:
        if not patterns_of(checked.recipe, key, player) or (player,) in not_tried:
            continue
        if player not in checked.players:
            message = f"has no effect, because the game '{checked.recipe.train.game.name}' has no {player}; remove it"
            yield checked.recipe.document.problem(("train", key, player), message)
            continue
        try:
            network = build_on_meta(partial(checked.build, player, **context))
        except Exception:  # reported where the networks are tried
            continue
        yield from find(checked.recipe, player, network)
