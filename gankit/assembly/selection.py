"""The components that a recipe selects from the registries, with checked parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import Problem
from ..recipe.checked import CheckedRecipe
from ..recipe.located_document import Document, KeyPath
from ..recipe.model import Component, LatentSpec, Optimizers, Recipe
from ..recipe.validation import validate
from ..registry import Registries, Registry, Selected

SLOTS: Mapping[KeyPath, str] = {
    ("latent",): "latents",
    ("dataset",): "datasets",
    ("generator",): "generators",
    ("discriminator",): "discriminators",
    ("loss",): "losses",
    ("optimizers", "generator"): "optimizers",
    ("optimizers", "discriminator"): "optimizers",
    ("train", "game"): "games",
}
LISTS = ("regularizers", "augmentations", "callbacks")


def select(
    registry: Registry[Any], name: str, params: Any, document: Document, path: KeyPath
) -> tuple[Selected | None, list[Problem]]:
    """A component of a registry with these parameters, or None and every problem; ``path`` locates them."""
    try:
        entry = registry.get(name)
    except KeyError as error:
        return None, [document.problem((*path, "name"), str(error.args[0]))]
    checked, problems = validate(entry.schema, params, document, path)
    return (None if checked is None else Selected(entry, checked)), problems


def select_components(
    recipe: Recipe | None, document: Document, registries: Registries
) -> tuple[dict[KeyPath, Selected], list[Problem]]:
    """Every component of a recipe that is registered and has valid parameters, and all problems of the others.

    Args:
        recipe: the recipe; None if its structure is invalid, in which case the document's data is searched.
        document: of the recipe.
        registries: of the runtime.
    """
    selected: dict[KeyPath, Selected] = {}
    problems: list[Problem] = []
    for path, kind, component in _components(document.data if recipe is None else recipe):
        found, faults = select(getattr(registries, kind), component.name, component.params, document, path)
        problems += faults
        if found is not None:
            selected[path] = found
    return selected, problems


def with_defaults(recipe: Recipe, components: dict[KeyPath, Selected]) -> CheckedRecipe:
    """The recipe with every default of its components filled in."""

    def resolved(*path: str | int) -> Component:
        chosen = components[path]
        return Component(name=chosen.entry.name, **chosen.plain_params())

    latent = components["latent",]
    own = {
        "latent": LatentSpec(name=latent.entry.name, dim=recipe.latent.dim, **latent.plain_params()),
        **{key: resolved(key) for key in ("dataset", "generator", "discriminator", "loss")},
        "optimizers": Optimizers(
            generator=resolved("optimizers", "generator"), discriminator=resolved("optimizers", "discriminator")
        ),
        "train": recipe.train.model_copy(update={"game": resolved("train", "game")}),
        **{kind: tuple(resolved(kind, index) for index in range(len(getattr(recipe, kind)))) for kind in LISTS},
    }
    return CheckedRecipe(recipe.model_copy(update=own), components)


def _components(source: Recipe | Mapping[str, Any]) -> Iterator[tuple[KeyPath, str, Component]]:
    """Path, kind and content of each component. Malformed ones are left out: the recipe's structure reports them."""
    found: list[tuple[KeyPath, str, Any]] = []
    for path, kind in SLOTS.items():
        value: Any = source
        for key in path:
            value = _entry(value, str(key))
        found.append((path, kind, value))
    for kind in LISTS:
        items = _entry(source, kind)
        if isinstance(items, (list, tuple)):
            found += [((kind, index), kind, item) for index, item in enumerate(items)]
    for path, kind, value in found:
        if (component := _as_component(value, path)) is not None:
            yield path, kind, component


def _entry(holder: Any, key: str) -> Any:
    return holder.get(key) if isinstance(holder, Mapping) else getattr(holder, key, None)


def _as_component(value: Any, path: KeyPath) -> Component | None:
    if isinstance(value, Component):
        return value
    spec = {"name": value} if isinstance(value, str) else value
    if not isinstance(spec, Mapping) or not isinstance(spec.get("name"), str) or not spec["name"]:
        return None
    own = {"name", "dim"} if path == ("latent",) else {"name"}
    return Component(name=spec["name"], **{str(key): item for key, item in spec.items() if key not in own})
