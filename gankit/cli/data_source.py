"""The data that the commands of ``gankit data`` read: a folder or zip of images, or the dataset of a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import GankitError
from ..messages import quote

if TYPE_CHECKING:
    from ..data.resize import Fit
    from ..interfaces import Report
    from ..runtime import Runtime

RECIPE_SUFFIXES = (".yaml", ".yml")
FILES = "image_folder"  # the dataset of a folder or zip


class Data(NamedTuple):
    """A prepared dataset, and the size in which a recipe uses it.

    Attributes:
        dataset: the prepared dataset.
        size: height and width of the recipe's images; None for a folder or zip.
        fit: how the recipe resizes images of another aspect ratio; ``pad`` for a folder or zip.
    """

    dataset: Any
    size: tuple[int, int] | None = None
    fit: Fit = "pad"


def open_files(runtime: Runtime, path: Path, report: Report, **params: Any) -> Any:
    """The prepared dataset of a folder or zip, with further parameters of the dataset.

    Raises:
        DataError: it lacks images, or has damaged ones.
    """
    dataset = runtime.registries.datasets.get(FILES).factory(path=path, **params)
    dataset.prepare(report=report)
    return dataset


def open_data(runtime: Runtime, source: Path, overrides: Sequence[str], report: Report) -> Data:
    """The data of a folder, zip or recipe, without damaged files.

    Raises:
        GankitError: it cannot be used.
    """
    from ..data.datasets import prepare_dataset

    if source.suffix.lower() not in RECIPE_SUFFIXES or source.is_dir():
        if overrides:
            raise GankitError(f"{quote(overrides[0])} overrides a key of a recipe, but {source} is not a recipe")
        return Data(open_files(runtime, source, report, on_error="skip"))
    checked = runtime.load_checked(source, overrides)
    selected, recipe = checked["dataset"], checked.recipe
    if "on_error" in type(selected.params).model_fields:
        selected = replace(selected, params=selected.params.model_copy(update={"on_error": "skip"}))
    dataset = selected.build()
    prepare_dataset(dataset, report)
    return Data(dataset, recipe.image.size, recipe.loader.fit)
