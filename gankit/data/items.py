"""Reads the items of datasets as tensors, and checks what they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import DataError, GankitError
from ..interfaces import DataSpec, ImageSpec, VectorSpec
from ..interfaces.data_spec import IMAGE, LABEL
from ..messages import did_you_mean
from .files.decoding import DecodeError, image_to_tensor

Item = dict[str, Tensor]
"""The fields of an item by name: images uint8 [c h w], vectors fp32 [v], and ``label``, int64 [] or fp32 [v]."""


def read_item(dataset: Any, index: int, spec: DataSpec, has_classes: bool) -> Item:
    """An item of a dataset, as described at `gankit.Dataset`.

    Args:
        dataset: prepared.
        index: of the item.
        spec: of the dataset.
        has_classes: whether the item must have a label that is a class. Without classes, other labels count as 0.

    Raises:
        DataError: the item is something else.
    """
    where = f"item {index} of dataset {type(dataset).__name__}"
    try:
        given = dataset[index]
    except GankitError:
        raise  # its message is complete
    except Exception as error:
        error.add_note(f"gankit reads {where}")
        raise
    if not isinstance(given, Mapping):
        given = _as_mapping(given, spec, has_classes, where)
    unknown = [name for name in given if name not in spec and name != LABEL]
    if unknown:
        raise DataError(
            f"{where} has {unknown[0]!r}, which its spec does not list{did_you_mean(str(unknown[0]), [*spec, LABEL])}"
        )
    item: Item = {}
    for name, field in spec.items():
        if name not in given:
            raise DataError(f"{where} has no {name!r}: it has {', '.join(map(repr, given)) or 'nothing'}")
        if isinstance(field, ImageSpec):
            item[name] = _as_image(given[name], field.channels, f"the {name} of {where}")
        else:
            item[name] = _as_vector(given[name], field, f"the {name} of {where}")
    if spec.label is None:
        item[LABEL] = _as_label(given.get(LABEL), has_classes, where)
    return item


def read_tensors(dataset: Any, spec: DataSpec) -> Item:
    """All items of a dataset that has ``tensors()``, stacked: the fields of an item with [n] in front.

    Raises:
        DataError: they do not fit the spec.
    """
    given, count, name = dataset.tensors(), len(dataset), type(dataset).__name__
    if not isinstance(given, Mapping):
        given = dict(zip((IMAGE, LABEL), given, strict=True))
    tensors = {field: torch.as_tensor(tensor) for field, tensor in given.items()}
    if missing := [field for field in (*spec, LABEL) if field not in tensors]:
        raise DataError(f"`tensors()` of dataset {name} lacks {missing[0]!r}: it has {', '.join(map(repr, tensors))}")
    for field, expected in spec.items():
        tensor = tensors[field]
        what = "images" if field == IMAGE else f"{field!r}"
        if isinstance(expected, VectorSpec):
            if tensor.shape != (count, expected.size):
                given_as = describe_value(tensor)
                raise DataError(
                    f"`tensors()` of dataset {name} returns {what} {given_as}; expected [{count} {expected.size}]"
                )
            tensors[field] = tensor.float()
            continue
        size = tensor.shape[2:] if expected.height is None else (expected.height, expected.width)
        if tensor.dtype != torch.uint8 or tensor.ndim != 4 or tensor.shape != (count, expected.channels, *size):
            shape = f"uint8 [{count} {expected.channels} {' '.join(map(str, size)) or 'h w'}]"
            raise DataError(f"`tensors()` of dataset {name} returns {what} {describe_value(tensor)}; expected {shape}")
    labels = tensors[LABEL]
    if spec.label is None and (labels.is_floating_point() or labels.is_complex() or labels.shape != (count,)):
        raise DataError(
            f"`tensors()` of dataset {name} returns labels {describe_value(labels)}; expected int64 [{count}]"
        )
    return {field: tensors[field] for field in spec} | ({LABEL: labels.long()} if spec.label is None else {})


def image_of(item: Any) -> Any:
    """The image of an item in any of its forms."""
    if isinstance(item, Mapping):
        return item.get(IMAGE)
    return item[0] if isinstance(item, (tuple, list)) and item else item


def channels_of(image: Any, where: str) -> int:
    """The number of channels of an image in any of its forms. Raises: DataError: it is not an image."""
    if isinstance(image, Image.Image):
        return len(image.getbands()) if image.mode in ("L", "LA", "RGB", "RGBA") else 3
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim in (2, 3):
        return 1 if image.ndim == 2 else int(image.shape[2])
    if isinstance(image, Tensor) and image.dtype == torch.uint8 and image.ndim == 3:
        return len(image)
    raise DataError(
        f"the image of {where} is {describe_value(image)}; expected a PIL image, a tensor uint8 [c h w] or an array "
        "uint8 [h w c]"
    )


def _as_mapping(item: Any, spec: DataSpec, has_classes: bool, where: str) -> dict[str, Any]:
    """An item ``(image, label)``, or the image alone, by the names of the fields. Raises: DataError."""
    if spec.fields:
        raise DataError(f"{where} is {describe_value(item)}; expected a mapping with {', '.join(map(repr, spec))}")
    if isinstance(item, (tuple, list)) and len(item) == 2:
        return dict(zip((IMAGE, LABEL), item, strict=True))
    if not has_classes and spec.label is None and isinstance(item, (Tensor, np.ndarray, Image.Image)):
        return {IMAGE: item}
    expected = "(image, label)" if has_classes else "(image, label) or only the image (the dataset has no classes)"
    raise DataError(f"{where} is {describe_value(item)}; expected {expected}")


def _as_image(image: Any, channels: int, what: str) -> Tensor:
    """The image as uint8 [c h w]. Raises: DataError."""
    expected = f"a PIL image, a tensor uint8 [{channels} h w] or an array uint8 [h w {channels}]"
    if isinstance(image, Image.Image):
        try:
            return image_to_tensor(image, channels)
        except DecodeError as error:
            raise DataError(f"{what} {error}") from None
    if isinstance(image, np.ndarray) and image.dtype == np.uint8:
        array = image[..., None] if image.ndim == 2 else image
        if array.ndim == 3 and array.shape[2] == channels:
            return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))
    if isinstance(image, Tensor) and image.dtype == torch.uint8 and image.ndim == 3 and image.shape[0] == channels:
        return image
    raise DataError(f"{what} is {describe_value(image)}; expected {expected}, with values from 0 to 255")


def _as_vector(vector: Any, spec: VectorSpec, what: str) -> Tensor:
    """The vector as fp32 [v]. Raises: DataError: it is something else, or not finite."""
    try:
        numbers = torch.as_tensor(vector)
    except (TypeError, ValueError, RuntimeError):
        numbers = torch.empty(0)
    if numbers.shape != (spec.size,) or numbers.is_complex():
        raise DataError(f"{what} is {describe_value(vector)}; expected a vector of {spec.size} numbers")
    numbers = numbers.float()
    if not bool(numbers.isfinite().all()):
        raise DataError(f"{what} has NaN or infinite numbers")
    return numbers


def _as_label(label: Any, has_classes: bool, where: str) -> Tensor:
    """The label as int64 []. Raises: DataError."""
    if label is None and not has_classes:
        return torch.tensor(0)
    number = torch.as_tensor(label) if isinstance(label, (int, np.integer, np.ndarray, Tensor)) else torch.tensor(0.5)
    if number.ndim or number.is_floating_point() or number.is_complex():
        expected = "a class index, as an int" if has_classes else "an int or None (the dataset has no classes)"
        raise DataError(f"the label of {where} is {describe_value(label)}; expected {expected}")
    return number.long()


def describe_value(value: Any) -> str:
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
