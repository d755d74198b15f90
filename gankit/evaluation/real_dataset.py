"""The dataset of the real images of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..assembly.selection import select
from ..data.datasets import split_of
from ..data.fingerprint import data_fingerprint
from ..data.resize import Fit
from ..errors import GankitError, RecipeError
from ..interfaces import Dataset
from ..recipe.model import Recipe
from ..recipe.sections import Component
from ..recipe.validation import validate
from ..registry import Registries
from ..runs.changes import find_changes
from ..runs.file_names import MANIFEST, RECIPE
from ..runs.manifest import read_manifest
from .request import Request, build, document_of

HELD_OUT = "held out"  # the split of held-out items that have no name of their own


class RealDataset(NamedTuple):
    """The dataset of the real images.

    Attributes:
        name: its name, for the record.
        params: its parameters, for the record.
        dataset: the opened dataset.
        fit: how its images are resized.
        split: its split, for the record; empty for the dataset's own.
    """

    name: str
    params: Mapping[str, Any]
    dataset: Dataset
    fit: Fit = "crop"
    split: str = ""


def open_real_dataset(registries: Registries, request: Request, run: Path | None, source: str) -> RealDataset:
    """The dataset of the real images: the request's, that of the request's recipe, or the run's own. Not prepared.

    Args:
        registries: with the datasets.
        request: may name the dataset or a recipe.
        run: directory of the evaluated run; None if the images do not belong to a run.
        source: the evaluated source, for the error message.

    Raises:
        GankitError: no dataset is given, or it does not exist.
    """
    file = request.recipe or (run and run / RECIPE)
    recipe = None
    if file is not None and (request.real is None or request.recipe is not None or file.is_file()):
        recipe = Recipe.load(file).at(math.inf)  # the data of the last segment: older data may be gone
    if request.real is not None:
        given = {"real": dict(request.real)} if isinstance(request.real, Mapping) else [f"real={request.real}"]
        document, path = document_of(given), ("real",)
        component, problems = validate(Component, document.data.get("real"), document, path)
        problems = document.problems or problems
    elif recipe is not None:
        document, path, component, problems = recipe.document, ("dataset",), recipe.dataset, []
    else:
        raise GankitError(
            f"{source} does not specify the real images; pass their dataset, such as "
            "--real '{name: cifar10, split: test}', or a recipe with --recipe"
        )
    selected = None
    if component is not None and not problems:
        selected, problems = select(registries, "datasets", component.name, component.params, document, path)
    if selected is None:
        raise RecipeError(problems)
    fit = recipe.loader.fit if recipe is not None else "crop"
    return RealDataset(selected.entry.name, selected.plain_params(), build(selected), fit)


def cautions_of_other_data(real: RealDataset, checkpoint: Path) -> list[str]:
    """A caution if the run's recipe finds other data now, for example because its path is relative to another folder.

    Args:
        real: the prepared dataset of the run's recipe.
        checkpoint: whose manifest records the data that it was trained on.
    """
    recorded = read_manifest(checkpoint / MANIFEST)
    if not isinstance(recorded.get("data"), Mapping):
        return []  # without them, no fingerprint is computed
    now = {"images": len(real.dataset), "fingerprint": data_fingerprint(real.dataset)}
    changes = find_changes(recorded, {"data": now}).data
    return [f"the real images are not those of the training: {change}" for change in changes]


def held_out_items(real: RealDataset) -> RealDataset:
    """The held-out items of a prepared dataset; the dataset itself if it has none."""
    if not hasattr(real.dataset, "held_out"):
        return real
    dataset = real.dataset.held_out()
    split = split_of(dataset)
    return real._replace(dataset=dataset, split=HELD_OUT if split in ("", split_of(real.dataset)) else split)
