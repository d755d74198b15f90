"""Check the game of a recipe, and which keys and components of the recipe it uses."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

from ..errors import Problem
from ..game.game import Game, has_own_generate
from ..interfaces import DISCRIMINATOR_KEYS, GAME_KEYS, PLAYERS
from ..recipe.checked_recipe import CheckedRecipe
from ..recipe.located_document import item_at
from ..registry import signature_schema
from .check_methods import TURN, require_known_methods
from .selection import MICROBATCH, OF_DISCRIMINATOR, absent_paths, honoured_keys, no_effect


def _hint(checked: CheckedRecipe, key: str) -> str:
    game = type(checked.game).__name__
    return f". If the code of {game} does use it, add {key!r} to its attribute `honours`"


def problems_of_players(checked: CheckedRecipe) -> Iterator[Problem]:
    """Problems of missing components, and of those that the game does not use."""
    recipe, document, absent = checked.recipe, checked.recipe.document, absent_paths(checked)
    for path in (*OF_DISCRIMINATOR, ("loss",)):
        if path in absent:
            if reduce(item_at, path, document.data) is not None:
                lacks = "discriminator" not in checked.players
                message = no_effect(checked, "has no discriminator" if lacks else "does not use it")
                yield document.problem(path, message if lacks else message + _hint(checked, "loss"))
        elif path not in checked.components:
            yield document.problem(path, f"is missing; the game '{recipe.train.game.name}' requires it")


def checked_game(checked: CheckedRecipe) -> Game:
    """The game. Raises: ValueError: the component is not a game."""
    game = checked.build(("train", "game"))
    if not isinstance(game, Game):
        raise ValueError(
            f"{type(game).__name__} is not a gankit.Game: make it a subclass with step(self), which takes batches from "
            "self.next_batch() and updates a player by self.update(player, batch)"
        )
    if type(game).step is Game.step:
        raise ValueError(f"{type(game).__name__} is not a game: it lacks `step`")
    methods = {"step": (), "setup": (), "terms": TURN, "generate": ("generator", "inputs")}
    require_known_methods(game, methods, "game")
    if not isinstance(game.players, (tuple, list)) or {*game.players} not in ({*PLAYERS}, {"generator"}):
        raise ValueError(
            f"{type(game).__name__}.players is {game.players!r}; it should be ('generator', 'discriminator'), or "
            "('generator',) for a game without a discriminator"
        )
    if has_own_generate(game):
        signature_schema(
            game.generate, ("generator", "inputs"), f"{type(game).__name__}.generate", ignore_variable=True
        )
    honours = game.honours
    unknown = [key for key in honours if key not in GAME_KEYS] if isinstance(honours, (tuple, list)) else [honours]
    if unknown:
        raise ValueError(
            f"{type(game).__name__}.honours has {unknown[0]!r}; it should be a tuple with any of {', '.join(GAME_KEYS)}"
        )
    return game


def problems_of_keys(checked: CheckedRecipe, game: Game) -> Iterator[Problem]:
    """The keys that the recipe sets and the game does not use."""
    recipe, used = checked.recipe, honoured_keys(checked)
    for key in GAME_KEYS:
        path = tuple(key.split("."))
        section = recipe.train if path[0] == "train" else recipe
        if key in used or key == "loss":
            continue
        if getattr(section, path[-1]) != type(section).model_fields[path[-1]].default:
            lacks = key in DISCRIMINATOR_KEYS and "discriminator" not in checked.players
            message = no_effect(checked, "has no discriminator" if lacks else "does not use it")
            if key == MICROBATCH and game.whole_batch:
                name = recipe.train.game.name
                message = f"cannot be used, because the game '{name}' needs the whole batch at once; remove it"
            elif not lacks:
                message += _hint(checked, key)
            yield recipe.document.problem(path, message)
    if recipe.train.cuda_graphs:
        yield from _problems_of_schedules(checked)


def _problems_of_schedules(checked: CheckedRecipe) -> Iterator[Problem]:
    """The parameters that a schedule changes during training, which recorded turns would not follow."""
    for path, selected in checked.components.items():
        if path[0] not in {"optimizers", "callbacks", "dataset"}:
            for name in selected.params.scheduled:
                message = (
                    "changes during training, but the turns that train.cuda_graphs records keep their first value; use "
                    "a constant, or remove cuda_graphs"
                )
                yield checked.recipe.document.problem((*path, name), message)
