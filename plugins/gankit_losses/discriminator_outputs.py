"""What regularizers read of D's output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

import gankit


def all_logits(output: object) -> Tensor:
    """The logits of all heads side by side, as on a turn: [n ...], fp32 at least."""
    logits = output["logits"] if isinstance(output, Mapping) else output
    if isinstance(logits, (list, tuple)):
        logits = logits[0] if len(logits) == 1 else torch.cat([head.reshape(len(head), -1) for head in logits], dim=1)
    assert isinstance(logits, Tensor)
    return full_precision(logits)


def required(output: object, key: str, regularizer: str) -> Tensor:
    """What D calls ``key``, fp32 at least.

    Raises:
        GankitError: it does not give that.
    """
    if not isinstance(output, Mapping) or key not in output:
        gives = f"gives {', '.join(map(repr, output))}" if isinstance(output, Mapping) else "gives logits alone"
        raise gankit.GankitError(
            f"regularizer '{regularizer}' needs '{key}' in the discriminator's output, which {gives}; "
            "choose a discriminator that has it, or the parameter of this one that adds it"
        )
    value: Tensor = output[key]
    return full_precision(value)


def require_outputs(output: object, keys: Sequence[str], image: gankit.ImageSpec, regularizer: str) -> None:
    """Raises: GankitError: D's output has not all of ``keys``, or the images have no classes."""
    if not image.classes:
        raise _unlabelled(regularizer)
    for key in keys:
        required(output, key, regularizer)


def labels_of(turn: gankit.Turn, regularizer: str) -> Tensor:
    """The turn's labels [n]. Raises: GankitError: the run is not conditional."""
    if turn.labels is None:
        raise _unlabelled(regularizer)
    return turn.labels


def _unlabelled(regularizer: str) -> gankit.GankitError:
    return gankit.GankitError(f"regularizer '{regularizer}' needs labels: set conditional: true")


def full_precision(values: Tensor) -> Tensor:
    """As they are in fp64, in fp32 otherwise."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
