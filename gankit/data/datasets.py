"""Access to the methods and attributes of datasets, most of which are optional."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from ..errors import DataError
from ..interfaces import DataDescription, DataSpec, ImageSpec, Report, no_report
from ..interfaces.data_spec import LABEL, data_spec
from .items import channels_of, image_of, read_tensors


def prepare_dataset(dataset: Any, report: Report = no_report) -> None:
    """Prepare a dataset, which receives ``report`` if its ``prepare`` has such a parameter. Raises: DataError."""
    if not hasattr(dataset, "prepare"):
        return
    if takes_report(dataset):
        dataset.prepare(report=report)
    else:
        dataset.prepare()


def takes_report(dataset: Any) -> bool:
    """Whether the dataset's ``prepare`` has a parameter ``report``."""
    return "report" in inspect.signature(dataset.prepare).parameters


def describe_dataset(dataset: Any) -> DataDescription | None:
    """The summary of a prepared dataset; None if it does not describe itself."""
    return dataset.describe() if hasattr(dataset, "describe") else None


def spec_of(dataset: Any) -> DataSpec:
    """The fields of a dataset. Without an attribute ``spec``, the first item gives the number of channels.

    Raises:
        DataError: the first item has no image.
    """
    if hasattr(dataset, "spec"):
        return data_spec(dataset.spec)
    if not len(dataset):
        raise DataError(f"dataset {type(dataset).__name__} is empty")
    where = f"item 0 of dataset {type(dataset).__name__}"
    try:
        item = dataset[0]
    except Exception as error:
        error.add_note(f"gankit reads {where} before prepare(), because the dataset has no attribute `spec`")
        raise
    return DataSpec(image=ImageSpec.any_size(channels_of(image_of(item), where)))


def classes_of(dataset: Any) -> tuple[str, ...] | None:
    """The names of the classes; None for unlabeled data; empty if only ``prepare`` can find them.

    A dataset without an attribute ``classes`` has those that its ``labels`` or ``targets`` contain, called 0, 1 and so
    on. Vectors of labels are not classes.
    """
    if hasattr(dataset, "classes"):
        return None if dataset.classes is None else tuple(map(str, dataset.classes))
    labels = labels_of(dataset)
    return None if labels is None else tuple(map(str, range(int(labels.max()) + 1)))


def labels_of(dataset: Any) -> np.ndarray[Any, np.dtype[np.int64]] | None:
    """All classes [n] that the dataset knows without reading its items; None if it knows none, or they are vectors."""
    known = next((found for name in ("labels", "targets") if (found := getattr(dataset, name, None)) is not None), None)
    if known is None and hasattr(dataset, "tensors"):
        known = read_tensors(dataset, spec_of(dataset)).get(LABEL)
    if known is None or not len(known):
        return None
    labels = np.asarray(known)
    return labels.astype(np.int64) if labels.ndim == 1 and labels.dtype.kind in "iub" else None


def split_of(dataset: Any) -> str:
    """The name of the split; empty if the dataset has none."""
    return str(getattr(dataset, "split", ""))


def spec_of_run(dataset: Any, size: tuple[int, int], conditional: bool, classes: int) -> DataSpec:
    """The data in the sizes of the run, before a codec encodes the images.

    Args:
        dataset: of the run.
        size: height and width of the run's images in pixels.
        conditional: whether the networks receive labels.
        classes: the number of classes, which matters only if labels are not vectors.

    Raises:
        ValueError: a field has no whole number of pixels at this size.
    """
    spec = spec_of(dataset)
    if not conditional:
        spec = DataSpec(image=spec.image, independent=spec.independent, **spec.fields)
    return spec.at_size(*size, classes if conditional and spec.label is None else 0)
