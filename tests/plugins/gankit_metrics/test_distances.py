"""Frechet and kernel distances, and the Inception Score, against their formulas in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import gankit
from gankit_metrics import PRDC, FrechetDistance, InceptionScore, KernelDistance

Array = np.ndarray[Any, np.dtype[np.float64]]


def features(count: int, dim: int, seed: int, shift: float = 0.0) -> Tensor:
    """Correlated, none below 0, as those of a network with rectified units."""
    draw = torch.Generator().manual_seed(seed)
    mix = torch.randn(dim, dim, generator=torch.Generator().manual_seed(99)) / dim**0.5
    return (torch.randn(count, dim, generator=draw) @ mix + shift).clamp(min=0)


def score(metric: Any, real: Tensor, fake: Tensor, batches: int = 1) -> dict[str, float]:
    for side, values in ((True, real), (False, fake)):
        for batch in values.chunk(batches):
            metric.update(batch, side)
    return metric.compute()  # type: ignore[no-any-return]


def root(matrix: Array) -> Array:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T


def frechet(x: Array, y: Array) -> float:
    """By the symmetric form of the product's root, whose trace is the same."""
    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    half = root(cov_x)
    cross = np.trace(root(half @ cov_y @ half))
    return float(np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(cov_x) + np.trace(cov_y) - 2 * cross)


def mmd(x: Array, y: Array) -> float:
    """Unbiased, by its definition as averages over pairs of different images."""

    def kernel(a: Array, b: Array) -> Array:
        return (a @ b.T / a.shape[1] + 1) ** 3

    off = ~np.eye(len(x), dtype=bool)
    return float(kernel(x, x)[off].mean() + kernel(y, y)[off].mean() - 2 * kernel(x, y).mean())


@given(
    dim=st.integers(2, 40),
    real=st.integers(60, 300),
    fake=st.integers(60, 300),
    shift=st.floats(0, 2),
    batches=st.integers(1, 7),
)
@settings(max_examples=25, deadline=None)
def test_frechet_distance_is_the_formula(dim, real, fake, shift, batches):
    x, y = features(real, dim, 1), features(fake, dim, 2, shift)
    found = score(FrechetDistance(), x, y, batches)
    assert found.keys() == {"fd"}
    assert found["fd"] == pytest.approx(frechet(x.double().numpy(), y.double().numpy()), rel=1e-4)


def test_frechet_distance_of_fewer_images_than_features():
    x, y = features(100, 256, 1), features(80, 256, 2, 0.1)
    expected = frechet(x.double().numpy(), y.double().numpy())
    assert score(FrechetDistance(), x, y)["fd"] == pytest.approx(expected, rel=1e-4)


def test_frechet_distance_of_a_shift_is_its_square():
    x = torch.randn(500, 8)
    assert score(FrechetDistance(), x, x + 0.5)["fd"] == pytest.approx(8 * 0.25, rel=1e-5)
    assert score(FrechetDistance(), x, x)["fd"] == pytest.approx(0, abs=1e-9)


def test_frechet_distance_far_from_zero_loses_no_digits():
    """Sums of squares in float32 would."""
    x, y = features(400, 16, 1) + 1000, features(400, 16, 2, 0.2) + 1000
    expected = frechet(x.double().numpy(), y.double().numpy())
    assert score(FrechetDistance(), x, y, batches=5)["fd"] == pytest.approx(expected, rel=1e-4)


@given(dim=st.integers(2, 64), count=st.integers(10, 150), shift=st.floats(0.05, 2))
@settings(max_examples=25, deadline=None)
def test_kernel_distance_is_the_formula(dim, count, shift):
    x, y = features(count, dim, 1), features(count, dim, 2, shift)
    found = score(KernelDistance(subsets=2, subset_size=count), x, y, batches=3)  # each subset is the whole set
    assert found.keys() == {"kid", "kid_std"}
    assert found["kid"] == pytest.approx(mmd(x.double().numpy(), y.double().numpy()), rel=1e-4, abs=1e-9)
    assert found["kid_std"] == pytest.approx(0, abs=1e-9)


def test_kernel_distance_over_subsets_is_near_that_of_the_whole():
    x, y = features(400, 32, 1), features(300, 32, 2, 0.3)
    found = score(KernelDistance(subsets=60, subset_size=100), x, y)
    whole = mmd(x[:300].double().numpy(), y.double().numpy())
    assert found["kid"] == pytest.approx(whole, abs=4 * found["kid_std"] / 60**0.5 + 0.1 * whole)
    assert found["kid_std"] > 0


def test_kernel_distance_of_equal_distributions_is_unbiased():
    found = score(KernelDistance(subsets=50, subset_size=100), features(500, 16, 1), features(500, 16, 2))
    assert abs(found["kid"]) < 2 * found["kid_std"]


@pytest.mark.parametrize(
    ("build", "values"),
    [
        (lambda seed: KernelDistance(subsets=3, subset_size=20, seed=seed), features(50, 8, 3)),
        (lambda seed: InceptionScore(splits=3, seed=seed), features(50, 8, 3)),
    ],
)
def test_the_seed_decides_and_the_hosts_is_left_alone(build, values):
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, again, other = (score(build(seed), features(60, 8, 4), values) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])


def test_inception_score_is_the_formula():
    logits = torch.randn(300, 10, generator=torch.Generator().manual_seed(0)) * 3
    p = np.exp(logits.double().numpy())
    p /= p.sum(1, keepdims=True)
    expected = np.exp((p * np.log(p / p.mean(0))).sum(1).mean())
    found = score(InceptionScore(splits=1), torch.randn(5, 10), logits, batches=4)
    assert found == {"is": pytest.approx(expected, rel=1e-6), "is_std": 0.0}


def test_inception_score_has_the_number_of_classes_for_its_bound():
    sure = 50 * torch.eye(10).repeat(100, 1)
    assert score(InceptionScore(splits=1), sure, sure)["is"] == pytest.approx(10, rel=1e-6)
    assert score(InceptionScore(), sure, sure)["is"] == pytest.approx(9.2, abs=0.6)  # a tenth of them at a time
    assert score(InceptionScore(), sure, sure[:1].expand(200, -1))["is"] == pytest.approx(1, rel=1e-6)
    assert score(InceptionScore(), sure, torch.zeros(200, 10))["is"] == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize(
    ("metric", "real", "fake", "message"),
    [
        (FrechetDistance(), 0, 0, r"^at least 2 real images are needed, but 0 were given: give more"),
        (FrechetDistance(), 9, 1, r"^at least 2 generated images are needed, but 1 were given: give more"),
        (FrechetDistance(), 0, 9, r"^at least 2 real images are needed, but 0 were given: give more"),
        (
            KernelDistance(),
            999,
            2000,
            r"^at least 1000 real images are needed, but 999 were given: give more, or lower `subset_size`",
        ),
        (KernelDistance(subset_size=10), 10, 9, r"^at least 10 generated images are needed, but 9 were given"),
        (InceptionScore(), 100, 9, r"^at least 10 generated images are needed, but 9 were given: .*lower `splits`"),
        (InceptionScore(), 100, 0, r"^at least 10 generated images are needed, but 0 were given"),
    ],
)
def test_too_few_images(metric, real, fake, message):
    with pytest.raises(ValueError, match=message):
        metric.require(real, fake)  # before any is looked at
    for side, count in ((True, real), (False, fake)):
        if count:
            metric.update(torch.randn(count, 4), side)
    with pytest.raises(ValueError, match=message):
        metric.compute()


@pytest.mark.parametrize("metric", [FrechetDistance(), KernelDistance(subset_size=10), InceptionScore(), PRDC()])
def test_enough_images_and_which_scores_tell_good_from_bad(metric):
    metric.require(10, 10)
    near, far = (torch.softmax(3 * features(400, 6, seed), 1) + shift for seed, shift in ((1, 0.0), (2, 0.5)))
    if not getattr(metric, "needs_real", True):
        near, far = 9 * near, 0 * far  # sure of each image, or of none
    good, bad = score(metric, near, near), score(type(metric)(**vars_of(metric)), near, far)
    assert set(metric.better) <= set(good)
    assert {name for name in good if not name.endswith("_std")} == set(metric.better)
    for name, better in metric.better.items():
        assert (good[name] > bad[name]) is (better == "higher"), name


def vars_of(metric: Any) -> dict[str, int]:
    return {"subset_size": 10} if isinstance(metric, KernelDistance) else {}


def test_what_is_kept_is_float32_without_a_graph():
    metric = KernelDistance(subset_size=4)
    given = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    metric.update(given, True)
    metric.update(given, False)
    assert metric.compute()["kid"] < 0  # the diagonal alone is left out
    kept = metric.collected(real=True)
    assert (kept.dtype, kept.requires_grad, kept.device.type) == (torch.float32, False, "cpu")


@pytest.mark.parametrize(
    ("name", "params"),
    [("kid", {"subsets": 0}), ("kid", {"subset_size": 1}), ("kid", {"seed": -1}), ("inception_score", {"splits": 0})],
)
def test_impossible_parameters_are_refused(name, params):
    with pytest.raises(ValueError, match="greater than"):
        gankit.Runtime().registries.metrics.get(name).schema.model_validate(params)
