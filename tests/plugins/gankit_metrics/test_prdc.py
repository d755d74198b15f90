"""Precision, recall, density and coverage against loops over all pairs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gankit_metrics import PRDC, prdc


def blobs(count: int, centres: list[float], seed: int, dim: int = 8) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    where = torch.tensor(centres)[torch.arange(count) % len(centres), None]
    return torch.randn(count, dim, generator=draw) + where


def score(real: Tensor, fake: Tensor, **params: int) -> dict[str, float]:
    metric = PRDC(**params)
    for side, values in ((True, real), (False, fake)):
        for batch in values.chunk(3):
            metric.update(batch, side)
    return metric.compute()


def naive(real: Tensor, fake: Tensor, k: int, density_k: int) -> dict[str, float]:
    x, y = real.double().numpy(), fake.double().numpy()

    def reach(points: np.ndarray, k: int) -> list[float]:
        return [sorted(np.linalg.norm(points - point, axis=1))[k] for point in points]

    between = np.array([[np.linalg.norm(a - b) for b in y] for a in x])
    real_reach, fake_reach, wide = reach(x, k), reach(y, k), reach(x, density_k)
    return {
        "precision": float(np.mean([any(between[:, j] <= real_reach) for j in range(len(y))])),
        "recall": float(np.mean([any(between[i] <= fake_reach) for i in range(len(x))])),
        "density": sum(between[i, j] < wide[i] for i in range(len(x)) for j in range(len(y))) / density_k / len(y),
        "coverage": float(np.mean([min(between[i]) < wide[i] for i in range(len(x))])),
    }


@given(
    real=st.integers(8, 60),
    fake=st.integers(8, 60),
    k=st.integers(1, 6),
    density_k=st.integers(1, 6),
    shift=st.floats(0, 2),
    rows=st.sampled_from([7, 1000]),
)
@settings(max_examples=30, deadline=None)
def test_against_all_pairs(real, fake, k, density_k, shift, rows):
    x, y = blobs(real, [0.0, 3.0], 1), blobs(fake, [shift], 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prdc, "ROWS", rows)
        found = score(x, y, k=k, density_k=density_k)
    assert found == pytest.approx(naive(x, y, k, density_k), abs=1e-6)


def test_the_papers_neighbours_are_the_defaults():
    x, y = blobs(200, [0.0, 2.0], 1), blobs(150, [0.5], 2)
    assert score(x, y) == score(x, y, k=3, density_k=5) == pytest.approx(naive(x, y, 3, 5), abs=1e-6)


def test_equal_sets_are_perfect():
    x = blobs(2300, [0.0, 5.0], 1, dim=64)  # more than are looked at in one go
    assert score(x, x.clone()) == {"precision": 1.0, "recall": 1.0, "density": 1.0, "coverage": 1.0}


def test_equal_distributions_score_high():
    found = score(blobs(600, [0.0, 6.0], 1), blobs(600, [0.0, 6.0], 2))
    assert 0.9 < found["density"] < 1.1
    assert found["coverage"] > 0.9


def test_missing_modes_lower_recall_and_coverage_alone():
    modes = [0.0, 20.0, 40.0, 60.0]
    real = blobs(800, modes, 1, dim=4)
    recall, coverage = [], []
    for kept in (4, 2, 1):
        found = score(real, blobs(800, modes[:kept], 2, dim=4))
        recall.append(found["recall"])
        coverage.append(found["coverage"])
        assert found["precision"] > 0.8
        assert found["density"] > 0.8
    assert recall[0] > recall[1] + 0.2 > recall[2] + 0.3
    assert coverage == pytest.approx([0.97, 0.5, 0.25], abs=0.05)


def test_strange_images_lower_precision_and_density_alone():
    real, good = blobs(800, [0.0], 1, dim=4), blobs(800, [0.0], 2, dim=4)
    spoilt = torch.cat([good[:400], blobs(400, [100.0], 3, dim=4)])
    fine, found = score(real, good), score(real, spoilt)
    assert found["precision"] == pytest.approx(fine["precision"] / 2, abs=0.03)
    assert found["density"] == pytest.approx(fine["density"] / 2, abs=0.05)
    assert found["coverage"] > 0.7


def test_one_repeated_image_covers_nothing():
    real = blobs(500, [0.0], 1)
    found = score(real, real[:1].expand(500, -1))
    assert found["recall"] == pytest.approx(1 / 500)  # the image itself
    assert found["coverage"] < 0.05


def test_disjoint_sets_score_nothing():
    found = score(blobs(100, [0.0], 1), blobs(100, [1000.0], 2))
    assert found == {"precision": 0.0, "recall": 0.0, "density": 0.0, "coverage": 0.0}


@pytest.mark.parametrize(
    ("real", "fake", "params", "message"),
    [
        (5, 50, {}, "^at least 6 real images are needed, but 5 were given: give more, or lower `k` and `density_k`"),
        (50, 3, {}, "^at least 4 generated images are needed, but 3 were given: give more, or lower `k`"),
        (50, 0, {}, "^at least 4 generated images are needed, but 0 were given"),
        (9, 50, {"k": 9}, "^at least 10 real images are needed, but 9 were given"),
    ],
)
def test_too_few_images(real, fake, params, message):
    with pytest.raises(ValueError, match=message):
        score(torch.randn(real, 4), torch.randn(fake, 4), **params)
    with pytest.raises(ValueError, match=message):
        PRDC(**params).require(real, fake)  # before any is looked at


def test_features_whose_distances_are_small_next_to_their_norms():
    draw = torch.Generator().manual_seed(0)
    real, fake = (torch.ones(60, 64) * 100 + 0.001 * torch.randn(60, 64, generator=draw) for _ in range(2))
    assert score(real, fake, k=3, density_k=5) == pytest.approx(naive(real, fake, 3, 5))
