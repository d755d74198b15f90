"""Checks the arguments of `TrainedGenerator`, which may be numbers and arrays of NumPy and torch."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import SupportsIndex

import numpy as np
import torch
from torch import Tensor

from ..interfaces import ImageSpec
from ..messages import quote

Labels = Sequence[SupportsIndex] | Tensor | np.ndarray
"""Class indices [n], or vectors [n v]."""

MAX_ELEMENTS = 2**31  # in the images of one call: 8 GiB as fp32


def read_labels(labels: Labels | None) -> list[int] | Tensor | None:
    """Class indices as a list, and vectors as a float32 tensor on the CPU. Raises: ValueError: they are neither."""
    if labels is None:
        return None
    if isinstance(labels, np.ndarray) and labels.dtype.kind == "f":
        return torch.from_numpy(labels).float()
    if isinstance(labels, Tensor) and labels.is_floating_point():
        return labels.detach().float().cpu()
    values = labels.tolist() if isinstance(labels, Tensor | np.ndarray) else labels
    if isinstance(values, Sequence) and not any(isinstance(value, bool) for value in values):
        try:
            return [operator.index(value) for value in values]
        except TypeError:  # also for the characters of a string
            pass
    raise ValueError(f"labels must be a list of integers, one per image; got {quote(values)}")


def read_count_and_seed(image: ImageSpec, count: SupportsIndex, seed: SupportsIndex, steps: int = 1) -> tuple[int, int]:
    """The number of images, at least 1, and the seed, from 0 to 2^63 - 1, as integers of Python.

    Args:
        image: of each image.
        count: the number of images.
        seed: of the images.
        steps: of the interpolation from each image to the next.

    Raises:
        ValueError: one of them is out of range or no integer, or the images are too large for one call.
    """
    try:
        number, start = operator.index(count), operator.index(seed)
    except TypeError:
        number = start = -1
    if number < 1 or not 0 <= start < 2**63:
        raise ValueError(
            f"count must be at least 1 and seed from 0 to 2^63 - 1, both integers; got count {count!r}, seed {seed!r}"
        )
    elements = number * steps * image.channels * image.height * image.width
    if elements > MAX_ELEMENTS:
        raise ValueError(
            f"{number * steps} images have {elements:,} values, above the limit of {MAX_ELEMENTS:,}; "
            "sample fewer at a time"
        )
    return number, start
