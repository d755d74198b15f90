"""Checks the checkpoint that a run starts from before the data is prepared."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ..errors import CheckpointError, RecipeError
from ..interfaces import ImageSpec
from ..recipe.checked_recipe import CheckedRecipe
from ..runs.changes import class_difference
from ..runs.checkpoint import Checkpoint, find_checkpoint
from .dry_run import build_on_meta


def require_initial_weights(checked: CheckedRecipe) -> None:
    """Open the checkpoint of ``initialize:`` and compare its weights with networks on the meta device.

    If the number of classes is unknown until the data is prepared, this check uses the number in the checkpoint.

    Raises:
        RecipeError: there is no such checkpoint, or its weights do not fit.
    """
    recipe = checked.recipe
    if recipe.initialize is None:
        return
    try:
        checkpoint = Checkpoint.open(find_checkpoint(Path(recipe.initialize)))
        dataset = checked.build("dataset")
        if not recipe.conditional or dataset.classes:
            require_same_classes(checkpoint, tuple(dataset.classes) if recipe.conditional else None)
        classes = len(dataset.classes or ()) or len(checkpoint.manifest.get("classes") or ())
        image = ImageSpec(*recipe.image.size, dataset.spec.channels, classes if recipe.conditional else 0)
        for name, context in (("generator", (image, recipe.latent.dim)), ("discriminator", (image,))):
            if (name,) not in checked.not_tried:
                network = build_on_meta(partial(checked.build, name, *context))
                checkpoint.load_network(name, network)
    except CheckpointError as error:
        raise RecipeError([recipe.document.problem(("initialize",), str(error))]) from None


def require_same_classes(checkpoint: Checkpoint, classes: tuple[str, ...] | None) -> None:
    """Raises: CheckpointError: the run of the checkpoint had other classes than ``classes``, or None for none."""
    if difference := class_difference(checkpoint.manifest, classes):
        raise CheckpointError(f"{checkpoint.path}: {difference}; initialize from a run with the same classes")
