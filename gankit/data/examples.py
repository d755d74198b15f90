"""Examples of a dataset's images: those of each class in a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..interfaces import DataSpec
from ..interfaces.data_spec import IMAGE
from .datasets import classes_of, spec_of
from .image_cache import StreamedSource
from .resize import Fit

COLUMNS = 8
MAX_ROWS = 20  # classes


def example_images(dataset: Any, labels: Sequence[int], size: tuple[int, int], fit: Fit) -> tuple[Tensor, int]:
    """Images at equal distances in the dataset, or in each class, of which the first 20 have a row each.

    Args:
        dataset: prepared.
        labels: of its items.
        size: height and width of the result.
        fit: for images of another aspect ratio.

    Returns:
        Images uint8 [n c h w], black where a class has too few, and how many stand in a row.

    Raises:
        DataError: an image cannot be read.
    """
    classes = np.asarray(labels)
    names = classes_of(dataset)
    chosen: list[int] = []
    for row in range(min(MAX_ROWS, len(names)) if names else 1):
        members = np.flatnonzero(classes == row) if names else np.arange(len(classes))
        count = min(COLUMNS if names else COLUMNS * COLUMNS, len(members))
        chosen += members[np.arange(count) * len(members) // max(1, count)].tolist()
        if names:
            chosen += [-1] * (COLUMNS - count)
    source = StreamedSource(dataset, DataSpec(image=spec_of(dataset).image).at_size(*size), fit)
    images = source.read(np.maximum(chosen, 0), [IMAGE])[IMAGE].clone()
    images[torch.tensor(chosen) < 0] = 0
    return images, COLUMNS
