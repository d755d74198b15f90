"""Which steps a degradation takes, in which order and how often, against the settings of Real-ESRGAN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gankit_superresolution import degradation
from gankit_superresolution.degradation import degrade
from gankit_superresolution.item_random import ItemRandom

COUNT = 600
SIDE, SOURCE = 64, 16
Step = tuple[str, Any]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[list[Step]]]:
    """The steps of many degradations: names, and sizes of resizing."""
    taken: list[Step] = []

    def recorded(name: str, step: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(pixels: Tensor, *args: Any) -> Tensor:
            taken.append((name, args[0] if name == "resized" else None))
            return step(pixels, *args)

        return call

    cheap: dict[str, Callable[..., Tensor]] = {
        "filtered": lambda pixels, kernel: pixels,
        "noisy": lambda pixels, settings, random: pixels,
        "compressed": lambda pixels, random: pixels,
        "resized": lambda pixels, size, random: pixels.new_zeros((*pixels.shape[:2], *size)),
    }
    for name, step in cheap.items():
        monkeypatch.setattr(degradation, name, recorded(name, step))

    def run(rounds: int) -> list[list[Step]]:
        found = []
        for seed in range(COUNT):
            taken.clear()
            degrade(torch.zeros(1, SIDE, SIDE, dtype=torch.uint8), (SOURCE, SOURCE), rounds, ItemRandom(seed))
            found.append([*taken])
        return found

    return run


def names(steps: list[Step]) -> list[str]:
    return [name for name, _ in steps]


def shares(sides: list[int], side: int) -> list[float]:
    """Of images that become larger, smaller, or keep their size."""
    return [float(np.mean([compare(size, side) for size in sides])) for compare in (np.greater, np.less, np.equal)]


def test_two_rounds(steps: Callable[[int], list[list[Step]]]) -> None:
    first, second, last_blur, sinc_first = [], [], 0, 0
    for taken in steps(2):
        assert names(taken)[:4] == ["filtered", "resized", "noisy", "compressed"]
        first.append(taken[1][1][0])
        rest = taken[4:]
        if rest[0][0] == "filtered":
            last_blur += 1
            rest = rest[1:]
        assert names(rest)[:2] == ["resized", "noisy"]
        second.append(rest[0][1][0])
        end = names(rest)[2:]
        assert sorted(end) in (["compressed", "filtered", "resized"], ["compressed", "resized"])
        assert dict(rest[2:])["resized"] == (SOURCE, SOURCE)
        assert end.index("resized") in (0, 1)
        if "filtered" in end:
            assert end.index("filtered") == end.index("resized") + 1
        sinc_first += end[-1] == "compressed"
    assert last_blur / COUNT == pytest.approx(0.8, abs=0.06)
    assert sinc_first / COUNT == pytest.approx(0.5, abs=0.08)
    assert min(first) == pytest.approx(0.15 * SIDE, abs=2)
    assert max(first) == pytest.approx(1.5 * SIDE, abs=2)
    assert min(second) == pytest.approx(0.3 * SOURCE, abs=1)
    assert max(second) == pytest.approx(1.2 * SOURCE, abs=1)
    # a factor close to 1 rounds to the same size
    assert shares(first, SIDE) == pytest.approx([0.2, 0.7, 0.1], abs=0.06)
    assert shares(second, SOURCE) == pytest.approx([0.3, 0.4, 0.3], abs=0.11)


def test_one_round_is_the_second_one(steps: Callable[[int], list[list[Step]]]) -> None:
    found = steps(1)
    assert {names(taken).count("compressed") for taken in found} == {1}
    assert {names(taken).count("noisy") for taken in found} == {1}
    filters = [names(taken).count("filtered") for taken in found]
    assert np.mean(filters) == pytest.approx(0.8 + 0.8, abs=0.1)


def test_no_round_takes_none(steps: Callable[[int], list[list[Step]]]) -> None:
    assert steps(0) == [[]] * COUNT
