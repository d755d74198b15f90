"""Metrics that compare each generated image with its real partner."""

from __future__ import annotations

from collections.abc import Collection

from ..errors import GankitError
from ..interfaces import Metric


def compares_pairs(metric: Metric) -> bool:
    """Whether a metric compares each generated image with its real partner, and not two sets of images."""
    return bool(getattr(metric, "pairs", False))


def require_partners(metric: str, fields: Collection[str], independent: Collection[str], where: str = "") -> None:
    """Check that generated images have real partners: that they are made from fields of the same items.

    Args:
        metric: the name of a metric of pairs.
        fields: the names of the fields that the generator takes.
        independent: the fields of the data that do not belong to the real image of their item.
        where: the start of the message.

    Raises:
        GankitError: the generator takes no fields, or an independent one.
    """
    apart = next((name for name in fields if name in independent), None)
    if fields and apart is None:
        return
    why = "the generator takes no fields of the data"
    if apart is not None:
        why = f"the field '{apart}' is independent of the real image"
    raise GankitError(
        f"{where}metric '{metric}' compares each generated image with its real partner, but {why}; choose metrics "
        "that compare sets of images"
    )
