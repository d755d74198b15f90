"""Class labels of conditional networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def require_labels(labels: Tensor | None, network: str, classes: int) -> Tensor:
    """Return the labels [n] that a conditional network needs.

    Args:
        labels: labels [n], or None if the caller passed none.
        network: name of the network in the error message.
        classes: number of classes the network was built for.

    Raises:
        ValueError: ``labels`` is None.
    """
    if labels is None:
        raise ValueError(f"this {network} was built for {classes} classes: pass labels [n], one per image")
    return labels
