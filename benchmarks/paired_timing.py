"""Time two functions in interleaved pairs, so that a temporary slowdown of the machine affects both."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

RESAMPLES = 2000


def compare_with(benchmark: Any, rounds: int, synchronize: Callable[[], None]) -> Callable[..., None]:
    """Create the function that the fixture ``compare`` returns."""

    def compare(
        ours: Callable[[], object],
        other: Callable[[], object],
        *,
        against: str,
        images: int | None = None,
        rounds: int = rounds,
    ) -> None:
        """Run both once, then ``rounds`` pairs, alternating which side goes first. ``images``: images per call."""
        own: list[float] = []
        others: list[float] = []

        def timed(work: Callable[[], object], seconds: list[float]) -> None:
            synchronize()
            began = time.perf_counter()
            work()
            synchronize()
            seconds.append(time.perf_counter() - began)

        def before_own() -> None:
            """Run the other side: to complete a pair that gankit began, and first in every second pair."""
            if len(others) < len(own):
                timed(other, others)
            if len(own) % 2 == 0:
                timed(other, others)

        timed(other, [])
        timed(ours, [])
        benchmark.pedantic(timed, args=(ours, own), setup=before_own, rounds=rounds)
        if len(others) < len(own):
            timed(other, others)
        benchmark.extra_info.update(figures(own, others, against, images))

    return compare


def figures(own: Sequence[float], others: Sequence[float], against: str, images: int | None = None) -> dict[str, Any]:
    """Summarize a comparison. A ``speedup`` of 2 means that gankit takes half the time.

    ``speedup`` is the median over pairs. ``speedup_of_sums`` is the ratio of the total times, which also include
    occasional work such as drawing images. The intervals are 95% confidence intervals (bootstrap over pairs).
    """
    one, two = np.array(own), np.array(others)
    random = np.random.default_rng(0)
    chosen = random.integers(0, len(one), (RESAMPLES, len(one)))
    medians = np.median((two / one)[chosen], axis=1)
    sums = two[chosen].sum(axis=1) / one[chosen].sum(axis=1)
    result: dict[str, Any] = {
        "against": against,
        "pairs": len(one),
        "speedup": _rounded(np.median(two / one)),
        "speedup_interval": [_rounded(end) for end in np.percentile(medians, [2.5, 97.5])],
        "speedup_of_sums": _rounded(two.sum() / one.sum()),
        "speedup_of_sums_interval": [_rounded(end) for end in np.percentile(sums, [2.5, 97.5])],
        "milliseconds": _rounded(1000 * np.median(one)),
        "other_milliseconds": _rounded(1000 * np.median(two)),
    }
    if images is not None:
        result["images_per_second"] = _rounded(images / np.median(one))
        result["other_images_per_second"] = _rounded(images / np.median(two))
    return result


def _rounded(value: float) -> float:
    """Round to five significant digits."""
    return float(f"{value:.5g}")
