"""The data of a run, opened: its dataset, the codec and the loader of its batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.datasets import classes_of, describe_dataset, prepare_dataset, spec_of, spec_of_run
from ..data.encodings.image_codec import ImageCodec
from ..data.fingerprint import data_fingerprint
from ..data.loader import Loader
from ..device.engine import Engine
from ..distributed.processes import Processes
from ..errors import DataError
from ..interfaces import DataDescription, Dataset, DataSpec, Report
from ..recipe.checked_recipe import CheckedRecipe
from ..recipe.model import Recipe
from ..runs.checkpoint import Checkpoint
from .codec import build_codec


@dataclass(frozen=True)
class RunData:
    """The data of a run.

    Attributes:
        description: what the dataset found; None if it does not describe itself.
        spec: the fields in the sizes of the run.
        codec: encodes the images; None without a codec.
        classes: the names of the labels; None unless conditional.
        frequencies: the share of each class; None unless conditional.
        record: size and fingerprint, for the manifest.
    """

    description: DataDescription | None
    spec: DataSpec
    codec: ImageCodec | None
    loader: Loader
    classes: tuple[str, ...] | None
    frequencies: Sequence[float] | None
    record: dict[str, Any]

    @property
    def seen(self) -> DataSpec:
        """The data as the networks see it: with encodings in place of images if there is a codec."""
        return self.spec if self.codec is None else self.spec.with_image(self.codec.encoded)


def open_data(
    checked: CheckedRecipe, engine: Engine, processes: Processes, resumed: Checkpoint | None, report: Report
) -> RunData:
    """Prepare the dataset, and build the codec and the loader.

    Raises:
        RecipeError: the data do not fit the recipe.
        DataError: the dataset is missing, damaged or too small.
        MisfitError: ``resumed`` had another codec.
    """
    recipe = checked.recipe
    dataset = checked.build("dataset")
    processes.rank_zero_first(lambda: prepare_dataset(dataset, report))
    description = describe_dataset(dataset)
    spec = data_of_run(recipe, dataset, description)
    with engine.build_scope(recipe.seed):
        codec = build_codec(checked, spec, engine.device, engine.dtype, resumed)
    settings = recipe.loader, recipe.seed, engine.device, engine.dtype
    loader = Loader(dataset, spec, *settings, processes.rank, processes.world_size, codec, report)
    record = {"images": len(dataset), "fingerprint": processes.on_rank_zero(lambda: data_fingerprint(dataset))}
    count = spec.image.classes
    return RunData(
        description=description,
        spec=spec,
        codec=codec,
        loader=loader,
        classes=(classes_of(dataset) or ()) if count else None,
        frequencies=_class_frequencies(loader, count) if count else None,
        record=record,
    )


def data_of_run(recipe: Recipe, dataset: Dataset, description: DataDescription | None) -> DataSpec:
    """The data in the sizes of the run, before a codec encodes the images; with labels only if it is conditional.

    Raises:
        RecipeError: the data do not fit the recipe.
    """
    classes = len(classes_of(dataset) or ())
    if recipe.conditional and not classes and spec_of(dataset).label is None:
        found = f" ({description.summary})" if description is not None else ""
        message = f"is true, but the data of '{recipe.dataset.name}' has no labels{found}; use labeled data or false"
        raise recipe.document.error(("conditional",), message)
    try:
        return spec_of_run(dataset, recipe.image.size, recipe.conditional, classes)
    except ValueError as error:
        raise recipe.document.error(("image", "size"), str(error)) from None


def _class_frequencies(loader: Loader, classes: int) -> list[float]:
    """The share of each class in the data."""
    labels = loader.labels()
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(f"the dataset has labels from {labels.min()} to {labels.max()}, but names {classes} classes")
    return [float(share) for share in np.bincount(labels, minlength=classes) / len(labels)]
