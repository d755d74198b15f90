"""Check that generated images use the range [-1, 1] as real images do."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from .findings import Finding, percent

NOT_FINITE, ONE_SIDED, OVERFLOW, CLIPPED = "images_not_finite", "one_sided_range", "range_overflow", "range_saturated"
KINDS = (NOT_FINITE, ONE_SIDED, OVERFLOW, CLIPPED)

MIN_REAL_SHARE = 0.2  # of the real values on one side of 0, below which its absence in fakes means nothing
OUTSIDE, MAX_OUTSIDE = 1.25, 0.05  # a G without tanh exceeds the range by less
AT_END, MIN_AT_ENDS, MORE_THAN_REALS = 0.99, 0.5, 0.4


class Values(NamedTuple):
    """Shares of the values of images in [-1, 1]: below 0, above 0, and at least 0.99 in absolute value."""

    below: float
    above: float
    at_ends: float


def values_of(images: Tensor) -> Values:
    """The shares in images [n c h w]."""
    shares = (float(part.float().mean()) for part in (images < 0, images > 0, images.abs() >= AT_END))
    return Values(*shares)


def value_range(fakes: Tensor, reals: Values) -> list[Finding]:
    """Report values of raw generated images [n c h w] that differ from the range of the real images."""
    not_finite = 1 - float(fakes.isfinite().float().mean())
    if not_finite > 0:
        return [
            Finding(
                NOT_FINITE,
                f"The generator's images are broken: {percent(not_finite)} of their values are NaN or infinite. Go "
                "back to an earlier checkpoint, with a lower learning rate.",
                {"share_not_finite": not_finite},
                sure=True,
            )
        ]
    low, high = float(fakes.min()), float(fakes.max())
    figures = {"lowest": low, "highest": high}
    if low >= 0 and reals.below >= MIN_REAL_SHARE:
        return [_one_sided("never below 0", reals.below, high, figures)]
    if high <= 0 and reals.above >= MIN_REAL_SHARE:
        return [_one_sided("never above 0", reals.above, low, figures)]
    outside = float((fakes.abs() > OUTSIDE).float().mean())
    if outside >= MAX_OUTSIDE:
        return [
            Finding(
                OVERFLOW,
                f"The generator's values overflow: {percent(outside)} are beyond +-{OUTSIDE}, from {low:.2f} to "
                f"{high:.2f}, but images must lie in [-1, 1]. End the network with tanh, or scale its output.",
                {**figures, "share_outside": outside},
            )
        ]
    at_ends = values_of(fakes).at_ends
    if at_ends >= MIN_AT_ENDS and at_ends >= reals.at_ends + MORE_THAN_REALS:
        return [
            Finding(
                CLIPPED,
                f"The generator's values are saturated: {percent(at_ends)} are at the ends of the range, where "
                f"{percent(reals.at_ends)} of the real ones are, so hardly any gradient passes. Lower its learning "
                "rate, or its initial weights.",
                {**figures, "share_at_ends": at_ends, "share_of_reals": reals.at_ends},
            )
        ]
    return []


def _one_sided(observation: str, share: float, extreme: float, figures: dict[str, float]) -> Finding:
    return Finding(
        ONE_SIDED,
        f"The generator's values are {observation} (and reach {extreme:.2f}), where {percent(share)} of the real ones "
        "are: images have the range [-1, 1]. End the network with tanh, not with sigmoid or ReLU.",
        {**figures, "share_of_reals": share},
        sure=True,
    )
