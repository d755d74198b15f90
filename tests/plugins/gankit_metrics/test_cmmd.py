"""CMMD against its formula in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from gankit_metrics import CMMD, cmmd


def embeddings(count: int, seed: int, shift: float = 0.0, dim: int = 16) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, dim, generator=draw) + shift, dim=1)


def score(real: Tensor, fake: Tensor, **params: float) -> float:
    metric = CMMD(**params)
    for side, values in ((True, real), (False, fake)):
        for batch in values.split(50):
            metric.update(batch, side)
    (found,) = metric.compute().values()
    return found


def formula(real: Tensor, fake: Tensor, sigma: float) -> float:
    x, y = real.double().numpy(), fake.double().numpy()

    def mean(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.mean(np.exp(-((a[:, None] - b[None]) ** 2).sum(2) / (2 * sigma**2))))

    return 1000 * (mean(x, x) + mean(y, y) - 2 * mean(x, y))


@given(
    real=st.integers(1, 80),
    fake=st.integers(1, 80),
    shift=st.floats(0, 2),
    sigma=st.floats(0.1, 20),
    rows=st.sampled_from([7, 256]),
)
@settings(max_examples=30, deadline=None)
def test_against_all_pairs(real, fake, shift, sigma, rows):
    x, y = embeddings(real, 1), embeddings(fake, 2, shift)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cmmd, "ROWS", rows)
        assert score(x, y, sigma=sigma) == pytest.approx(formula(x, y, sigma), rel=1e-6, abs=1e-9)


def test_the_papers_bandwidth_is_the_default():
    x, y = embeddings(60, 1), embeddings(50, 2, 0.5)
    assert score(x, y) == score(x, y, sigma=10) == pytest.approx(formula(x, y, 10), rel=1e-6)


def test_it_ranks_and_is_zero_for_equal_sets():
    x = embeddings(400, 1)
    near, far = score(x, embeddings(400, 2, 0.1)), score(x, embeddings(400, 2, 0.5))
    assert score(x, x) == pytest.approx(0, abs=1e-9)
    assert 0 < score(x, embeddings(400, 2)) < near < 0.5 * far


def test_memory_does_not_grow_with_the_pairs(within):
    x, y = embeddings(6000, 1), embeddings(6000, 2)
    with within(60, 100):  # all pairs of one kernel alone would take 288 MB
        score(x, y)


def test_no_images():
    with pytest.raises(ValueError, match=r"at least 1 generated images are needed, but 0 were given"):
        score(embeddings(3, 1), embeddings(0, 2))
