"""Checks the weights that a run starts from before the data is prepared."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from torch import nn

from ..data.datasets import classes_of, spec_of_run
from ..errors import CheckpointError
from ..injection import constructor_arguments
from ..interfaces import Player
from ..recipe.checked_recipe import CheckedRecipe
from ..runs.changes import class_difference
from .codec import data_of_networks
from .dry_run import build_on_meta
from .weight_loading import InitialWeights
from .weight_sources import EMA


def require_initial_weights(checked: CheckedRecipe) -> None:
    """Open the checkpoint of ``initialize:`` and compare its weights with networks on the meta device.

    If the number of classes is unknown until the data is prepared, this check uses the number in the checkpoint.

    Raises:
        RecipeError: the checkpoint does not exist, or its weights do not fit.
    """
    recipe = checked.recipe
    if recipe.initialize is None:
        return
    weights = InitialWeights(recipe)
    checkpoint = weights.checkpoint
    with weights.locating_errors():
        dataset = checked.build("dataset")
        known = classes_of(dataset)
        if not recipe.conditional or known:
            require_same_classes(weights, known if recipe.conditional else None)
        classes = len(known or ()) or len(checkpoint.manifest.get("classes") or ())
        spec = spec_of_run(dataset, recipe.image.size, recipe.conditional, classes)
        values = constructor_arguments(data_of_networks(checked, spec), recipe.latent.dim)
        tried: list[Player] = [player for player in checked.players if (player,) not in checked.not_tried]
        networks: dict[str, nn.Module] = {
            player: build_on_meta(partial(checked.build, player, **values)) for player in tried
        }
        if recipe.ema is not None and "generator" in tried:
            networks[EMA] = build_on_meta(partial(checked.build, "generator", **values))
        if len(tried) == len(checked.players):
            weights.require_matches({name: network.state_dict() for name, network in networks.items()})
        for name, network in networks.items():
            with suppress(NotImplementedError):  # its loading reads values, and is tried when the run starts
                weights.load({name: network})


def require_same_classes(weights: InitialWeights, classes: tuple[str, ...] | None) -> str | None:
    """Compare the classes of the checkpoint's run with ``classes``, which are None for a run without.

    They may differ if some weights are skipped, since those that depend on the classes may be among them.

    Returns:
        How they differ; None if they do not.

    Raises:
        CheckpointError: they differ, and no weights are skipped.
    """
    difference = class_difference(weights.checkpoint.manifest, classes)
    if difference is not None and not weights.settings.skip:
        raise CheckpointError(
            f"{weights.checkpoint.path}: {difference}; initialize from a run with the same classes, or skip the "
            "weights that depend on the classes (initialize.skip)"
        )
    return difference
