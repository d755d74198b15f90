"""Access to D's outputs for regularizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

import gankit


def required(output: object, key: str, regularizer: str) -> Tensor:
    """The tensor ``key`` of D's output, fp32 or fp64.

    Raises:
        GankitError: the output lacks it.
    """
    if not isinstance(output, Mapping) or key not in output:
        returned = f"returns {', '.join(map(repr, output))}" if isinstance(output, Mapping) else "returns only logits"
        raise gankit.GankitError(
            f"regularizer '{regularizer}' needs '{key}' in the output of the discriminator, which {returned}; "
            "choose a discriminator that returns it, or set the parameter of this one that adds it"
        )
    value: Tensor = output[key]
    return to_full_precision(value)


def require_outputs(output: object, keys: Sequence[str], image: gankit.ImageSpec, regularizer: str) -> None:
    """Raises: GankitError: D's output lacks one of ``keys``, or the run is not conditional."""
    if not image.classes:
        raise _unlabeled(regularizer)
    for key in keys:
        required(output, key, regularizer)


def labels_of(turn: gankit.Turn, regularizer: str) -> Tensor:
    """The turn's labels [n]. Raises: GankitError: the run is not conditional."""
    if turn.labels is None:
        raise _unlabeled(regularizer)
    return turn.labels


def _unlabeled(regularizer: str) -> gankit.GankitError:
    return gankit.GankitError(f"regularizer '{regularizer}' needs labels: set conditional: true")


def to_full_precision(values: Tensor) -> Tensor:
    """Convert to fp32, unless the values are fp64."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
