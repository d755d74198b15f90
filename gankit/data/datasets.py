"""Calls the methods of datasets, which may be optional, and checks what they return."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import DataError
from ..interfaces import DataDescription, Dataset, Report
from .decoding import DecodeError, image_to_tensor


def prepare_dataset(dataset: Dataset, report: Report) -> None:
    """Prepare a dataset, which receives ``report`` if its ``prepare`` has such a parameter. Raises: DataError."""
    if "report" in inspect.signature(dataset.prepare).parameters:
        dataset.prepare(report=report)  # type: ignore[call-arg]  # optional
    else:
        dataset.prepare()


def describe_dataset(dataset: Dataset) -> DataDescription | None:
    """What a prepared dataset found; None if it does not describe itself."""
    return dataset.describe() if hasattr(dataset, "describe") else None


def read_item(dataset: Dataset, index: int) -> tuple[Tensor, int]:
    """An item of a dataset: the image uint8 [c h w] with the channels of the spec, and its label.

    The image may be a tensor uint8 [c h w], an array uint8 [h w c] (or [h w] for one channel), or a PIL image. The
    label may be any integer, also as a tensor or array without dimensions. Without classes, it may be None, or the item
    the image alone; the label is then 0.

    Raises:
        DataError: the item is something else.
    """
    item, has_classes = dataset[index], dataset.classes is not None
    where = f"item {index} of dataset {type(dataset).__name__}"
    if isinstance(item, (tuple, list)) and len(item) == 2:
        image, label = item
    elif not has_classes and isinstance(item, (Tensor, np.ndarray, Image.Image)):
        image, label = item, None
    else:
        expected = "(image, label)" if has_classes else "(image, label) or only the image (the dataset has no classes)"
        raise DataError(f"{where} is {_described(item)}; expected {expected}")
    return _as_image(image, dataset.spec.channels, where), _as_label(label, has_classes, where)


def read_tensors(dataset: Any) -> tuple[Tensor, Tensor]:
    """The images uint8 [n c h w] and labels int64 [n] of a dataset that has ``tensors()``. Raises: DataError."""
    images, labels = (torch.as_tensor(part) for part in dataset.tensors())
    spec, count, name = dataset.spec, len(dataset), type(dataset).__name__
    size = images.shape[2:] if spec.height is None else (spec.height, spec.width)
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape != (count, spec.channels, *size):
        expected = f"uint8 [{count} {spec.channels} {' '.join(map(str, size)) or 'h w'}]"
        raise DataError(f"`tensors()` of dataset {name} returns images {_described(images)}; expected {expected}")
    if labels.is_floating_point() or labels.is_complex() or labels.shape != (count,):
        raise DataError(f"`tensors()` of dataset {name} returns labels {_described(labels)}; expected int64 [{count}]")
    return images, labels.long()


def _as_image(image: Any, channels: int, where: str) -> Tensor:
    """The image as uint8 [c h w]. Raises: DataError."""
    expected = f"a PIL image, a tensor uint8 [{channels} h w] or an array uint8 [h w {channels}]"
    if isinstance(image, Image.Image):
        try:
            return image_to_tensor(image, channels)
        except DecodeError as error:
            raise DataError(f"the image of {where} {error}") from None
    if isinstance(image, np.ndarray) and image.dtype == np.uint8:
        array = image[..., None] if image.ndim == 2 else image
        if array.ndim == 3 and array.shape[2] == channels:
            return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))
    if isinstance(image, Tensor) and image.dtype == torch.uint8 and image.ndim == 3 and image.shape[0] == channels:
        return image
    raise DataError(f"the image of {where} is {_described(image)}; expected {expected}, with values from 0 to 255")


def _as_label(label: Any, has_classes: bool, where: str) -> int:
    """The label as an int. Raises: DataError."""
    if label is None and not has_classes:
        return 0
    if isinstance(label, (int, np.integer)):
        return int(label)
    if isinstance(label, Tensor) and label.ndim == 0 and not (label.is_floating_point() or label.is_complex()):
        return int(label)
    if isinstance(label, np.ndarray) and label.ndim == 0 and label.dtype.kind in "iub":
        return int(label)
    expected = "a class index, as an int" if has_classes else "an int or None (the dataset has no classes)"
    raise DataError(f"the label of {where} is {_described(label)}; expected {expected}")


def _described(value: Any) -> str:
    """A value for a message: its type and shape, or its content if that is short."""
    if isinstance(value, Tensor):
        return f"a tensor {str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"an array {value.dtype} {list(value.shape)}"
    if isinstance(value, Mapping):
        return f"a {type(value).__name__} with the keys {', '.join(map(repr, value))}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)} ({', '.join(type(part).__name__ for part in value)})"
    return f"{value!r:.80}" if value is None or isinstance(value, (str, float)) else f"a {type(value).__name__}"
