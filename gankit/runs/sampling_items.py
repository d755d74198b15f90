"""The fields of real items that samples of a run are generated for, kept so that sampling needs no dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..data.resize import to_float, to_uint8
from ..errors import CheckpointError
from ..files import output_file, read_failure, save_safetensors
from ..messages import one_line
from .file_names import INPUTS

MIN_ITEMS, MAX_ITEMS = 16, 256
MAX_BYTES = 2**28  # of fields as uint8; fewer items are kept where they are larger


class MissingItemsError(CheckpointError):
    """The run directory does not have the items that the generator needs, unless the user gives others."""


def save_items(directory: Path, items: Mapping[str, Tensor]) -> None:
    """Write ``inputs.safetensors`` of a run directory: images as uint8, encodings and vectors as fp32.

    Raises:
        GankitError: the file cannot be written.
    """
    stored = {name: to_uint8(values) if _is_uint8(values) else values for name, values in items.items()}
    with output_file(directory / INPUTS) as temporary:
        save_safetensors({name: values.contiguous() for name, values in stored.items()}, temporary)


def load_items(directory: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Read the fields that a generator asks for, each [m ...]: images [m c h w] in [-1, 1], vectors [m v].

    Args:
        directory: of the run.
        shapes: of one item of each field.

    Raises:
        MissingItemsError: the file is missing.
        CheckpointError: it is damaged, or has other fields.
    """
    path = directory / INPUTS
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118  # not a mapping
            counts = {shape[0] for shape in found.values() if shape}
            fits = all(tuple(found.get(name, ())[1:]) == shape for name, shape in shapes.items())
            if not fits or len(counts) != 1 or not 0 < counts.pop() <= MAX_ITEMS:
                raise CheckpointError(f"{path}: does not have the fields {', '.join(shapes)} that the generator needs")
            tensors = {name: file.get_tensor(name) for name in shapes}
    except FileNotFoundError:
        raise MissingItemsError(
            f"{path}: is missing, and the generator needs the fields {', '.join(shapes)} in it; keep the checkpoint in "
            "its run directory, or give inputs (gankit sample --input)"
        ) from None
    except OSError as error:
        raise CheckpointError(read_failure(path, error)) from None
    except SafetensorError as error:
        raise CheckpointError(f"{path}: cannot be read: {one_line(error)}") from None
    return {name: to_float(v) if v.dtype == torch.uint8 else v.float() for name, v in tensors.items()}


def _is_uint8(values: Tensor) -> bool:
    """Whether these are images [m c h w] that uint8 holds without loss, as those that a codec has encoded are not."""
    return values.dim() == 4 and torch.equal(to_float(to_uint8(values)), values)
