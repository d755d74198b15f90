"""The components that a recipe selects from the registries, with checked parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any, TypeVar

from ..errors import Problem
from ..interfaces import DISCRIMINATOR_KEYS, GAME_KEYS, PLAYERS
from ..nested_components import select_nested
from ..recipe.checked_recipe import CheckedRecipe
from ..recipe.located_document import Document, KeyPath, item_at
from ..recipe.model import Recipe
from ..recipe.sections import Component, Optimizers
from ..recipe.validation import validate
from ..registered_component import Params, Selected
from ..registry import Registries

C = TypeVar("C", bound=Component)

SLOTS: Mapping[KeyPath, str] = {
    ("latent",): "latents",
    ("dataset",): "datasets",
    ("codec",): "codecs",
    ("generator",): "generators",
    ("discriminator",): "discriminators",
    ("loss",): "losses",
    ("optimizers", "generator"): "optimizers",
    ("optimizers", "discriminator"): "optimizers",
    ("train", "game"): "games",
}
LISTS = ("regularizers", "augmentations", "callbacks")
WITHOUT_SCHEDULES = {"datasets": "a dataset", "codecs": "a codec", "callbacks": "a callback"}
MICROBATCH = "train.microbatch"
OF_DISCRIMINATOR: tuple[KeyPath, ...] = (("discriminator",), ("optimizers", "discriminator"))


def select(
    registries: Registries, kind: str, name: str, params: Any, document: Document, path: KeyPath
) -> tuple[Selected | None, list[Problem]]:
    """A registered component with these parameters, or None and every problem; ``path`` locates them."""
    try:
        entry = getattr(registries, kind).get(name)
    except KeyError as error:
        return None, [document.problem((*path, "name"), str(error.args[0]))]
    problems: list[Problem] = []

    def select_inner(kind: str, value: Any, below: KeyPath) -> Selected:
        component, faults = validate(Component, value, document, (*path, *below))
        found = None
        if component is not None:
            found, faults = select(registries, kind, component.name, component.params, document, (*path, *below))
        problems.extend(faults)
        return found or Selected(entry, Params())  # a placeholder: its problems are already listed

    checked, faults = validate(entry.schema, select_nested(entry.schema, params, select_inner), document, path)
    problems += faults
    if checked is not None and (fixed := WITHOUT_SCHEDULES.get(kind)):
        message = f"a schedule has no effect in {fixed}; give a number"
        problems += [document.problem((*path, name), message) for name in checked.scheduled]
    return (None if checked is None or problems else Selected(entry, checked)), problems


def select_all(data: Any, document: Document, registries: Registries) -> tuple[dict[KeyPath, Selected], list[Problem]]:
    """Every component that is registered and has valid parameters, and all problems of the others.

    Args:
        data: of a recipe, whose structure may be invalid.
        document: of the recipe, which locates problems.
        registries: of the runtime.
    """
    selected: dict[KeyPath, Selected] = {}
    problems: list[Problem] = []
    for path, kind, name, params in _components(data):
        found, faults = select(registries, kind, name, params, document, path)
        problems += faults
        if found is not None:
            selected[path] = found
    return selected, problems


def with_defaults(recipe: Recipe, components: dict[KeyPath, Selected]) -> CheckedRecipe:
    """The recipe with every default of its components filled in, and nothing that its game does not have."""
    checked = CheckedRecipe(recipe, components)
    absent = absent_paths(checked)
    components = {path: selected for path, selected in components.items() if path not in absent}

    def resolved(component: C, *path: str | int) -> C | None:
        if path not in components:
            return None
        own = {name: getattr(component, name) for name in type(component).model_fields}
        return type(component)(**own, **components[path].plain_params())

    alone = ("latent", "dataset", "codec", "generator", "discriminator", "loss")
    players: Any = {player: resolved(getattr(recipe.optimizers, player), "optimizers", player) for player in PLAYERS}
    update = {
        **{key: resolved(getattr(recipe, key), key) for key in alone},
        "optimizers": Optimizers(**players),
        "train": recipe.train.model_copy(update={"game": resolved(recipe.train.game, "train", "game")}),
        **{kind: tuple(resolved(item, kind, i) for i, item in enumerate(getattr(recipe, kind))) for kind in LISTS},
    }
    return CheckedRecipe(recipe.model_copy(update=update), components)


def no_effect(checked: CheckedRecipe, why: str) -> str:
    """The message for a key or component that the game does not use."""
    return f"has no effect, because the game '{checked.recipe.train.game.name}' {why}; remove it or use another game"


def absent_paths(checked: CheckedRecipe) -> tuple[KeyPath, ...]:
    """The components that the recipe's game does not have: discriminator, its optimizer, and the loss."""
    with_loss = "loss" in honoured_keys(checked)
    without_discriminator = () if "discriminator" in checked.players else OF_DISCRIMINATOR
    return (*without_discriminator, *(() if with_loss else (("loss",),)))


def honoured_keys(checked: CheckedRecipe) -> tuple[str, ...]:
    """Those of `GAME_KEYS` that the recipe's game uses; all if it is not a valid game, which the check reports."""
    game = checked.game
    try:
        honours = [key for key in game.honours if not (key == MICROBATCH and game.whole_batch)]
    except (AttributeError, TypeError):
        honours = [*GAME_KEYS]
    without = () if "discriminator" in checked.players else DISCRIMINATOR_KEYS
    return tuple(key for key in GAME_KEYS if key in honours and key not in without)


def _components(data: Any) -> Iterator[tuple[KeyPath, str, str, dict[str, Any]]]:
    """Path, kind, name and parameters of each component. The recipe's structure reports malformed ones."""
    paths = dict(SLOTS)
    for kind in LISTS:
        items = item_at(data, kind)
        paths |= {(kind, index): kind for index in range(len(items) if isinstance(items, (list, tuple)) else 0)}
    for path, kind in paths.items():
        value = reduce(item_at, path, data)
        spec = {"name": value} if isinstance(value, str) else value
        if isinstance(spec, Mapping) and isinstance(name := spec.get("name"), str) and name:
            own = ("name", "dim") if path == ("latent",) else ("name",)
            yield path, kind, name, {str(key): item for key, item in spec.items() if key not in own}
