"""What ``run.json`` and the manifests of checkpoints say about a run."""

from __future__ import annotations

from typing import Any

from ..events import Initialized
from ..game.game import has_own_generate
from ..interfaces import DataDescription, DataSpec
from ..recipe.checked_recipe import CheckedRecipe
from ..registered_component import Selected
from .data_description import describe_data


def data_record(description: DataDescription | None) -> dict[str, Any]:
    """The entry of ``run.json`` about the data."""
    return {"data": {"summary": description.summary, "warnings": [*description.warnings]}} if description else {}


def initialized_record(initialized: Initialized | None) -> dict[str, Any]:
    """The entry of ``run.json`` about the weights that the run began with."""
    record = {} if initialized is None else initialized.record()
    return {str(record.pop("event")): record} if record else {}


def network_description(checked: CheckedRecipe, data: DataSpec) -> dict[str, Any]:
    """Everything that the networks and the latent distribution can be built from again."""
    described = {name: _describe(checked[name]) for name in ("latent", *reversed(checked.players))}
    latent = {"dim": checked.recipe.latent.dim, **described["latent"]}
    game = {**_describe(checked["train", "game"]), "generates": has_own_generate(checked.build(("train", "game")))}
    return {**describe_data(data), **described, "latent": latent, "game": game}


def _describe(selected: Selected) -> dict[str, Any]:
    return {"name": selected.entry.name, "params": selected.plain_params()}
