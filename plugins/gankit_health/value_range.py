"""Whether fakes use the range [-1, 1] as reals do."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from .findings import Finding, percent

BROKEN, ONE_SIDED, OVERFLOW, CLIPPED = "images_not_finite", "one_sided_range", "range_overflow", "range_saturated"
KINDS = (BROKEN, ONE_SIDED, OVERFLOW, CLIPPED)

NEEDED = 0.2  # of the reals' values must lie on a side for its absence to mean anything
BEYOND, OFTEN = 1.25, 0.05  # an eighth of the whole range outside; a G without tanh overshoots by less
END, MOSTLY, MORE = 0.99, 0.5, 0.4


class Values(NamedTuple):
    """Where the values of images in [-1, 1] lie: shares of them."""

    below: float
    above: float
    at_ends: float


def values_of(images: Tensor) -> Values:
    """Of images [n c h w]."""
    shares = (float(part.float().mean()) for part in (images < 0, images > 0, images.abs() >= END))
    return Values(*shares)


def value_range(fakes: Tensor, reals: Values) -> list[Finding]:
    """What is wrong with the values of raw fakes [n c h w], against those of the reals."""
    broken = 1 - float(fakes.isfinite().float().mean())
    if broken > 0:
        return [
            Finding(
                BROKEN,
                f"The generator makes no images any more: {percent(broken)} of their values are NaN or infinite. Go "
                "back to a checkpoint from before it, with a lower learning rate.",
                {"share_not_finite": broken},
                sure=True,
            )
        ]
    low, high = float(fakes.min()), float(fakes.max())
    figures = {"lowest": low, "highest": high}
    if low >= 0 and reals.below >= NEEDED:
        return [_one_sided("never below 0", reals.below, high, figures)]
    if high <= 0 and reals.above >= NEEDED:
        return [_one_sided("never above 0", reals.above, low, figures)]
    outside = float((fakes.abs() > BEYOND).float().mean())
    if outside >= OFTEN:
        return [
            Finding(
                OVERFLOW,
                f"The generator's values overflow: {percent(outside)} are beyond +-{BEYOND}, from {low:.2f} to "
                f"{high:.2f}, where images end at -1 and 1. End it with tanh, or scale its output.",
                {**figures, "share_outside": outside},
            )
        ]
    ends = values_of(fakes).at_ends
    if ends >= MOSTLY and ends >= reals.at_ends + MORE:
        return [
            Finding(
                CLIPPED,
                f"The generator's values are saturated: {percent(ends)} are at the ends of the range, where "
                f"{percent(reals.at_ends)} of the real ones are, so hardly any gradient passes. Lower its learning "
                "rate, or its initial weights.",
                {**figures, "share_at_ends": ends, "share_of_reals": reals.at_ends},
            )
        ]
    return []


def _one_sided(seen: str, share: float, extreme: float, figures: dict[str, float]) -> Finding:
    return Finding(
        ONE_SIDED,
        f"The generator's values are {seen} (and reach {extreme:.2f}), where {percent(share)} of the real ones are: "
        "images have the range [-1, 1]. End it with tanh, not with sigmoid or ReLU.",
        {**figures, "share_of_reals": share},
        sure=True,
    )
