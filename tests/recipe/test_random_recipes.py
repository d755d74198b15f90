"""Random recipes: the result is a recipe or a RecipeError whose problems all have a place."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gankit import CheckedRecipe, Recipe, RecipeError

DCGAN = Path(__file__).parents[2] / "recipes" / "dcgan_cifar10.yaml"

STRANGE = [
    None, True, False, 0, -1, 1, 3, 10**9, 10**30, 1.5, 1e308, -1e-9, float("inf"), float("nan"), "", "x", "dcgan", "64",
    "2e-4", [], [1], [1, 2, 3], {}, {"name": "dcgan"}, {"name": "x", "y": [1]}, {"start": 0, "end": 1, "over_images": 9},
    {"start": 1}, [[]], [{}], [{"name": 3}], "a\nb", "é\x1b[31m", "x" * 500,
]  # fmt: skip


def paths_of(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [found for key, value in items for found in [(*path, key), *paths_of(value, (*path, key))]]


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """The recipe with one to four keys or values deleted, renamed, replaced or added."""
    data = yaml.safe_load(DCGAN.read_text())
    for _ in range(draw(st.integers(1, 4))):
        paths = paths_of(data)
        if not paths:
            break
        *around, key = draw(st.sampled_from(paths))
        holder = data
        for part in around:
            holder = holder[part]
        change = draw(st.sampled_from(["delete", "rename", "replace", "replace", "add"]))
        if change == "delete":
            del holder[key]
        elif change == "rename" and isinstance(holder, dict):
            holder[draw(st.sampled_from([f"{key}x", str(key)[1:] or "q", "name", "extends", "<<"]))] = holder.pop(key)
        elif change == "add" and isinstance(holder, dict):
            word = draw(st.sampled_from(["name", "steps", "extends", "initialize", "ema", "width", "é"]))
            holder[word] = copy.deepcopy(draw(st.sampled_from(STRANGE)))
        else:
            holder[key] = copy.deepcopy(draw(st.sampled_from(STRANGE)))
    return data


def attempt(path: Path, load: Any) -> None:
    """Load a recipe. Problems must have a place, a message and a bounded length; no other exception is allowed."""
    try:
        recipe, problems = load(path), ()
    except RecipeError as error:
        recipe, problems = None, error.problems
    assert problems or isinstance(recipe, (Recipe, CheckedRecipe))
    assert all(problem.place and problem.message and len(str(problem)) < 2000 for problem in problems)


@given(mutated())
@settings(max_examples=75, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mutated_recipes(tmp_path_factory, runtime, data):
    path = tmp_path_factory.mktemp("fuzz") / "r.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=False))
    attempt(path, runtime.load)


@given(st.data())
@settings(max_examples=75, deadline=None)
def test_mutated_text(tmp_path_factory, data):
    text = DCGAN.read_text()
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 30)))
        text = text[:start] + data.draw(st.text("{}[]:,-?&*!|>'\"%@` \n\t#<=~0a", max_size=5)) + text[end:]
    path = tmp_path_factory.mktemp("fuzz") / "r.yaml"
    path.write_text(text)
    attempt(path, Recipe.load)


@given(
    st.lists(
        st.from_regex(
            r"[a-z]{0,3}(train|loss|callbacks|image|optimizers)?(\.[a-z0-9]{0,9}){0,3}=?.{0,10}", fullmatch=True
        ),
        max_size=3,
    )
)
@settings(max_examples=75, deadline=None)
def test_random_overrides(words):
    attempt(DCGAN, lambda path: Recipe.load(path, words))
