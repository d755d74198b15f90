"""The description of a run in ``run.json`` and in the manifests of checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..device.engine import Engine
from ..distributed.processes import Processes
from ..events import Initialized
from ..game.game import has_own_generate
from ..interfaces import DataDescription, DataSpec
from ..recipe.checked_recipe import CheckedRecipe
from ..recipe.model import Recipe
from ..registered_component import Selected
from ..runs.checkpoint import Checkpoint
from .data_manifest import describe_data


def run_record(
    recipe: Recipe,
    engine: Engine,
    processes: Processes,
    about: Mapping[str, Any],
    modes: Mapping[str, Any],
    data: DataDescription | None,
    initialized: Initialized | None,
) -> dict[str, Any]:
    """The entries of ``run.json``.

    Args:
        about: versions and plugins.
        modes: how the networks compute, of `NetworkTrials.record`.
        data: what the dataset found, if it describes itself.
        initialized: the weights that the run began with; None if it began with random ones.
    """
    layers = [
        {"source": layer.source, "changes": {key: list(pair) for key, pair in layer.changes.items()}}
        for layer in recipe.document.layers  # files and overrides, lowest first
    ]
    weights = {} if initialized is None else initialized.record()
    return {
        **about,
        "device": str(engine.device),
        "precision": engine.precision,
        "seed": recipe.seed,
        "world_size": processes.world_size,
        **modes,
        "threads": torch.get_num_threads(),
        **({"data": {"summary": data.summary, "warnings": [*data.warnings]}} if data else {}),
        **({"recipe": layers} if layers else {}),
        **({str(weights.pop("event")): weights} if weights else {}),
    }


def imported_record(initialized: Initialized | None, resumed: Checkpoint | None) -> dict[str, Any]:
    """The entry of a manifest about weights of other projects that the run began with: their license stays."""
    found = resumed.manifest.get("imported") if resumed else initialized and initialized.imported
    return {"imported": found} if found else {}


def network_description(checked: CheckedRecipe, data: DataSpec) -> dict[str, Any]:
    """Everything that the networks and the latent distribution can be built from again."""
    selected = {name: checked[name] for name in ("latent", *checked.players)}
    game = {**_describe(checked["train", "game"]), "generates": has_own_generate(checked.game)}
    return {**describe_networks(selected, checked.recipe.latent.dim, data), "game": game}


def describe_networks(selected: Mapping[str, Selected], latent_dim: int, data: DataSpec) -> dict[str, Any]:
    """The entries of a manifest that networks and the latent distribution, by name, can be built from again."""
    described = {name: _describe(component) for name, component in selected.items()}
    return {**describe_data(data), **described, "latent": {"dim": latent_dim, **described["latent"]}}


def _describe(selected: Selected) -> dict[str, Any]:
    return {"name": selected.entry.name, "params": selected.plain_params()}
