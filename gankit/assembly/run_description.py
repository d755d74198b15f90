"""What ``run.json`` and the manifests of checkpoints say about a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..events import Initialized
from ..game.game import has_own_generate
from ..interfaces import DataDescription, DataSpec
from ..recipe.checked_recipe import CheckedRecipe
from ..recipe.model import Recipe
from ..registered_component import Selected
from ..runs.checkpoint import Checkpoint
from .data_description import describe_data


def data_record(description: DataDescription | None) -> dict[str, Any]:
    """The entry of ``run.json`` about the data."""
    return {"data": {"summary": description.summary, "warnings": [*description.warnings]}} if description else {}


def recipe_record(recipe: Recipe) -> dict[str, Any]:
    """The entry of ``run.json`` about the files and overrides that the recipe comes from, lowest first."""
    layers = [
        {"source": layer.source, "changes": {key: list(pair) for key, pair in layer.changes.items()}}
        for layer in recipe.document.layers
    ]
    return {"recipe": layers} if layers else {}


def initialized_record(initialized: Initialized | None) -> dict[str, Any]:
    """The entry of ``run.json`` about the weights that the run began with."""
    record = {} if initialized is None else initialized.record()
    return {str(record.pop("event")): record} if record else {}


def imported_record(initialized: Initialized | None, resumed: Checkpoint | None) -> dict[str, Any]:
    """The entry of a manifest about weights of other projects that the run began with: their license stays."""
    found = resumed.manifest.get("imported") if resumed else initialized and initialized.imported
    return {"imported": found} if found else {}


def network_description(checked: CheckedRecipe, data: DataSpec) -> dict[str, Any]:
    """Everything that the networks and the latent distribution can be built from again."""
    selected = {name: checked[name] for name in ("latent", *reversed(checked.players))}
    game = {**_describe(checked["train", "game"]), "generates": has_own_generate(checked.build(("train", "game")))}
    return {**describe_networks(selected, checked.recipe.latent.dim, data), "game": game}


def describe_networks(selected: Mapping[str, Selected], latent_dim: int, data: DataSpec) -> dict[str, Any]:
    """The entries of a manifest that networks and the latent distribution, by name, can be built from again."""
    described = {name: _describe(component) for name, component in selected.items()}
    return {**describe_data(data), **described, "latent": {"dim": latent_dim, **described["latent"]}}


def _describe(selected: Selected) -> dict[str, Any]:
    return {"name": selected.entry.name, "params": selected.plain_params()}
