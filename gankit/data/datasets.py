"""Calls the optional methods of datasets."""

from __future__ import annotations

import inspect

from ..interfaces import DataDescription, Dataset, Report


def prepare_dataset(dataset: Dataset, report: Report) -> None:
    """Prepare a dataset, which receives ``report`` if its ``prepare`` has such a parameter. Raises: DataError."""
    if "report" in inspect.signature(dataset.prepare).parameters:
        dataset.prepare(report=report)  # type: ignore[call-arg]  # optional
    else:
        dataset.prepare()


def describe_dataset(dataset: Dataset) -> DataDescription | None:
    """What a prepared dataset found; None if it does not describe itself."""
    return dataset.describe() if hasattr(dataset, "describe") else None
