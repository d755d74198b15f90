"""Segments of a recipe: settings that change at a step, as resuming a run with overrides leaves them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import Problem, RecipeError
from .located_document import LENGTHS, Document
from .overrides import override_place, parse_override, set_value

SEGMENTS = "segments"
LENGTH_KEYS = tuple(f"train.{length}" for length in (*LENGTHS, "max_hours"))
"""The keys that only set when a run ends; they belong to the whole run, not to a segment."""


def document_at(document: Document, step: float) -> Document:
    """The settings after ``step`` steps of a valid recipe: the segments up to it are applied, the later ones stay."""
    result = copy.deepcopy(document)
    segments = result.data.get(SEGMENTS) or []
    due = sum(_step_of(segment) <= step for segment in segments)  # the first ones, since they are in order
    for number, segment in enumerate(segments[:due]):
        for key, value in segment["set"].items():
            set_value(result, key, value, document.place((SEGMENTS, number, "set", key)))
    result.data[SEGMENTS] = segments[due:]
    for places in (result.keys, result.values):
        for path in [path for path in places if path[:1] == (SEGMENTS,) and len(path) > 1]:
            place, index = places.pop(path), path[1]
            if isinstance(index, int) and index >= due:
                places[SEGMENTS, index - due, *path[2:]] = place
    return result


def with_overrides(document: Document, words: Sequence[str], step: int, new_segment: bool) -> Document:
    """The recipe of a run that continues after ``step`` steps with ``KEY=VALUE`` overrides.

    A length of the run is set in the recipe itself. Everything else becomes a segment, or, at step 0, part of the
    recipe.

    Args:
        document: of a valid recipe.
        words: valid overrides.
        step: of the checkpoint.
        new_segment: whether the words change other settings than the length.

    Raises:
        RecipeError: an override changes the segments.
    """
    result = copy.deepcopy(document)
    settings: dict[str, Any] = {}
    for word in words:
        for key, value in _split(word):
            if key.partition(".")[0] == SEGMENTS:
                message = "cannot be changed on resume; override the settings themselves"
                raise RecipeError([Problem(override_place(word), SEGMENTS, message)])
            if step == 0 or key in LENGTH_KEYS:
                set_value(result, key, value, override_place(word))
            else:
                settings[key] = value
    if settings and new_segment:
        here = [segment for segment in result.data.get(SEGMENTS) or () if _step_of(segment) == step]
        merged = {key: value for segment in here for key, value in segment["set"].items() if key not in settings}
        return with_segment(result, {**merged, **settings}, step)
    return result


def with_segment(document: Document, settings: dict[str, Any], step: int) -> Document:
    """The recipe with a segment of these settings in place of the one at this step."""
    result = copy.deepcopy(document)
    others = [segment for segment in result.data.get(SEGMENTS) or () if _step_of(segment) != step]
    added = {"step": step, "set": settings}
    result.data[SEGMENTS] = sorted([*others, added], key=_step_of)
    return result


def _step_of(segment: Mapping[str, Any]) -> int:
    return int(float(segment["step"]))  # validation takes a text of a whole number for the number


def _split(word: str) -> Iterator[tuple[str, Any]]:
    """The key and value of an override, with those inside ``train={...}`` as separate ones."""
    key, value = parse_override(word)
    if key == "train" and isinstance(value, dict):
        yield from ((f"{key}.{name}", item) for name, item in value.items())
    else:
        yield key, value
