"""The recipe of a run that continues at a checkpoint: the settings in effect there, with new overrides."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

from ..events import Overridden
from ..recipe.located_document import Document, KeyPath, differing_paths, dotted, item_at
from ..recipe.model import Recipe
from ..recipe.overrides import apply_overrides
from ..recipe.segments import LENGTH_KEYS, SEGMENTS, with_overrides, with_segment


@dataclass(frozen=True)
class Continuation:
    """How a run continues.

    Attributes:
        recipe: the settings in effect, with the segments that are still to come.
        changed: the paths of the values that the overrides change.
        event: records the change; None if nothing changes.
        saved: what ``recipe.yaml`` is to hold: the settings of the beginning, and all segments.
    """

    recipe: Recipe
    changed: Sequence[KeyPath]
    event: Overridden | None
    saved: Recipe


def continue_recipe(
    saved: Recipe, overrides: Sequence[str], step: int, read: Callable[[Document], Recipe]
) -> Continuation:
    """Continue a run after ``step`` steps.

    Args:
        saved: the recipe of the run directory.
        overrides: ``KEY=VALUE``.
        step: of the checkpoint; 0 without one.
        read: makes a recipe from a document.

    Raises:
        RecipeError: an override is invalid.
    """
    before = saved.at(step)
    document = copy.deepcopy(before.document)
    apply_overrides(document, overrides)
    recipe = read(document)
    old, new = before.model_dump(mode="json"), recipe.model_dump(mode="json")
    changed = differing_paths(old, new)
    if step and (start := next((path for path in changed if path[0] == "initialize"), None)):
        raise recipe.document.error(start, "has no effect after the first step; leave it out, or start a new run")
    new_segment = any(dotted(path) not in LENGTH_KEYS for path in changed)
    extended = Recipe.from_document(with_overrides(saved.document, overrides, step, new_segment))
    if step and new_segment and extended.at(step).model_dump(mode="json") != new:  # overrides of one key are merged
        base = extended.at(step - 1).model_dump(mode="json")
        paths = [path for path in differing_paths(base, new) if path != (SEGMENTS,)]
        values = {".".join(map(str, path)): reduce(item_at, path, new) for path in paths}
        extended = Recipe.from_document(with_segment(extended.document, values, step))
    if not changed:
        return Continuation(recipe, changed, None, saved)
    settings = {dotted(path): reduce(item_at, path, new) for path in changed}
    settings = {key: value for key, value in settings.items() if value is not None or key not in LENGTH_KEYS}
    previous = {dotted(path): reduce(item_at, path, old) for path in changed}
    return Continuation(recipe, changed, Overridden(settings, previous), extended)
