"""Labels of datasets: checked, counted and described."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

import gankit

MAX_CLASSES = 2**20
MAX_NAMED = 12  # classes that a summary names with their number of images


def class_labels(values: Any, names: Sequence[str] | None, where: str) -> tuple[Tensor | None, tuple[str, ...] | None]:
    """The labels int64 [n] and the names of the classes; both None if all labels are -1, as in unlabeled test splits.

    Args:
        values: an array of integers [n].
        names: of the classes; None calls them 0, 1 and so on.
        where: the start of messages.

    Raises:
        gankit.DataError: a label is not one of the classes.
    """
    labels = np.asarray(values).astype(np.int64)
    if len(labels) and (labels == -1).all():
        return None, None
    limit = MAX_CLASSES if names is None else len(names)
    outside = np.flatnonzero((labels < 0) | (labels >= limit))
    if len(outside):
        number = labels[outside[0]]
        raise gankit.DataError(f"{where}: item {outside[0]} has the label {number}; expected 0 to {limit - 1:,}")
    if names is None:
        names = [str(number) for number in range(int(labels.max(initial=0)) + 1)]
    return torch.from_numpy(labels), tuple(names)


def summarize(count: int, labels: Tensor | None, classes: Sequence[str] | None) -> gankit.DataDescription:
    """One line such as ``8 images, classes: ant 4, bee 4``."""
    summary = f"{count:,} image{'' if count == 1 else 's'}"
    if labels is not None and classes:
        counts = torch.bincount(labels, minlength=len(classes)).tolist()
        named = [f"{gankit.truncate(name, 40)} {counts[label]:,}" for label, name in enumerate(classes[:MAX_NAMED])]
        more = f", and {len(classes) - MAX_NAMED:,} more" if len(classes) > MAX_NAMED else ""
        summary += f", classes: {', '.join(named)}{more}"
    elif classes:
        summary += f", {len(classes):,} classes"
    return gankit.DataDescription(summary)
