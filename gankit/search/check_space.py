"""Check a search space against a recipe and the schemas of components, before the first trial."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from ..assembly.selection import select_all
from ..errors import Problem, RecipeError
from ..messages import quote
from ..recipe.located_document import Document, KeyPath
from ..recipe.model import Recipe, in_order
from ..recipe.overrides import set_value
from ..registry import Registries
from .space import Setting, Space, examples


def check_space(space: Space, recipe: Document, registries: Registries) -> None:
    """Check both ends of each range and each option of each choice, one after another, in an otherwise equal recipe.

    Whether networks accept a combination of values is known only when a trial builds them.

    Args:
        space: the search space.
        recipe: the document of a valid recipe.
        registries: with the components.

    Raises:
        RecipeError: with every problem.
    """
    problems = [problem for setting in space.settings for problem in _problems(setting, space, recipe, registries)]
    if problems:
        raise RecipeError(in_order(problems))


def _problems(setting: Setting, space: Space, recipe: Document, registries: Registries) -> Iterator[Problem]:
    """The problems of a setting. Those that several examples of an option have are reported once."""
    seen: set[tuple[KeyPath, str, str]] = set()
    faulty: set[KeyPath] = set()
    for value, path in examples(setting.value, (setting.name,)):
        if path in faulty:  # the other end of a range
            continue
        place = space.document.place(path)
        for key in setting.keys:
            for problem in _problems_with(key, value, place, recipe, registries):
                faulty.add(path)
                identity = _option(path), problem.path, problem.message
                if identity not in seen:
                    seen.add(identity)
                    yield problem


def _option(path: KeyPath) -> KeyPath:
    """The path of the innermost option that a path leads into."""
    ends = [end for end in range(len(path)) if path[end - 1 : end] == ("choice",)]
    return path[: ends[-1] + 1] if ends else ()


def _problems_with(key: str, value: Any, place: str, recipe: Document, registries: Registries) -> Iterator[Problem]:
    """The problems of the recipe with a value, given at ``place``, for a key."""
    document = deepcopy(recipe)
    try:
        set_value(document, key, value, place)
        problems = _problems_of(document, registries)
    except RecipeError as error:
        problems = list(error.problems)
    for problem in problems:
        if problem.place == place:
            yield problem
        else:  # the value has an effect on another part of the recipe
            yield Problem(place, key, f"{quote(value)} does not fit the recipe: {problem}")


def _problems_of(document: Document, registries: Registries) -> list[Problem]:
    checked, problems = Recipe.attempt(document)
    return problems + select_all(checked.model_dump() if checked else document.data, document, registries)[1]
