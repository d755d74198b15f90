"""The blur kernels against their formulas, and how often each kind is drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gankit_superresolution import blur_kernels
from gankit_superresolution.blur_kernels import bell_kernel, random_kernel, random_sinc_kernel, sinc_kernel
from gankit_superresolution.item_random import ItemRandom


def bell(side: int, first: float, second: float, angle: float, beta: float, plateau: bool) -> np.ndarray:
    """From the covariance matrix, pixel by pixel."""
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    inverse = np.linalg.inv(turn @ np.diag([first**2, second**2]) @ turn.T)
    values = np.empty((side, side))
    for row in range(side):
        for column in range(side):
            x = np.array([column - side // 2, row - side // 2])
            power = (x @ inverse @ x) ** beta
            values[row, column] = 1 / (1 + power) if plateau else math.exp(-0.5 * power)
    return values / values.sum()


def bessel_j1(x: float) -> float:
    """By its integral: the mean of cos(t - x sin t) over [0, pi]."""
    t = (np.arange(2000) + 0.5) * math.pi / 2000
    return float(np.cos(t - x * np.sin(t)).mean())


def sinc(side: int, cutoff: float) -> np.ndarray:
    values = np.full((side, side), cutoff**2 / (4 * math.pi))
    for row in range(side):
        for column in range(side):
            radius = math.hypot(row - side // 2, column - side // 2)
            if radius:
                values[row, column] = cutoff * bessel_j1(cutoff * radius) / (2 * math.pi * radius)
    return values / values.sum()


@settings(deadline=None, max_examples=40)
@given(
    side=st.sampled_from([7, 13, 21]),
    sigmas=st.tuples(st.floats(0.2, 3), st.floats(0.2, 3)),
    angle=st.floats(-math.pi, math.pi),
    beta=st.floats(0.5, 4),
    plateau=st.booleans(),
)
def test_bells(side: int, sigmas: tuple[float, float], angle: float, beta: float, plateau: bool) -> None:
    kernel = bell_kernel(side, *sigmas, angle, beta, plateau)
    np.testing.assert_allclose(kernel.numpy(), bell(side, *sigmas, angle, beta, plateau), rtol=1e-9, atol=1e-12)


def test_a_wide_gaussian_has_its_standard_deviations_along_its_axes() -> None:
    kernel = bell_kernel(41, 4.0, 2.0, math.pi / 2, 1.0, plateau=False)  # the first axis is vertical
    steps = torch.arange(41.0, dtype=torch.float64) - 20
    assert (kernel.sum(1) @ steps.square()).sqrt().item() == pytest.approx(4, rel=1e-3)
    assert (kernel.sum(0) @ steps.square()).sqrt().item() == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize(("side", "cutoff"), [(7, math.pi / 3), (13, 1.9), (21, math.pi)])
def test_sinc(side: int, cutoff: float) -> None:
    # torch's Bessel function has errors of up to 4e-7
    np.testing.assert_allclose(sinc_kernel(side, cutoff).numpy(), sinc(side, cutoff), rtol=0, atol=1e-6)


def test_a_large_sinc_passes_slow_waves_and_stops_fast_ones() -> None:
    x = torch.arange(401, dtype=torch.float64) - 200
    kernel = sinc_kernel(401, math.pi / 2).sum(0)
    for frequency, gain in ((0.3, 1.0), (1.2, 1.0), (1.9, 0.0), (3.0, 0.0)):
        assert (kernel @ torch.cos(frequency * x)).item() == pytest.approx(gain, abs=0.05)


def test_random_kernels_sum_to_1_and_have_all_sides() -> None:
    random = ItemRandom(0)
    kernels = [random_kernel(random, (0.2, 3.0)) for _ in range(400)] + [random_sinc_kernel(random) for _ in range(100)]
    assert {len(kernel) for kernel in kernels} == {7, 9, 11, 13, 15, 17, 19, 21}
    for kernel in kernels:
        assert kernel.shape == (len(kernel), len(kernel))
        assert kernel.sum().item() == pytest.approx(1, abs=1e-12)
        assert bool(kernel.isfinite().all())


def test_how_often_kernels_are_sinc_and_isotropic() -> None:
    """Shares of the paper: sinc 0.1; of the others, 0.45 + 0.12 + 0.12 = 0.69 are isotropic."""
    random, count = ItemRandom(1), 3000
    kernels = [random_kernel(random, (1.0, 3.0)) for _ in range(count)]
    ringing = [kernel for kernel in kernels if kernel.min() < 0]
    assert len(ringing) / count == pytest.approx(0.1, abs=0.025)  # more than four standard errors
    others = [kernel for kernel in kernels if kernel.min() >= 0]
    isotropic = [kernel for kernel in others if torch.allclose(kernel, kernel.rot90(), rtol=1e-9, atol=0)]
    assert len(isotropic) / len(others) == pytest.approx(0.69, abs=0.04)


def test_shape_parameters_are_as_often_below_one_as_above(monkeypatch) -> None:
    drawn: dict[bool, list[float]] = {False: [], True: []}

    def bell_kernel(side, first, second, angle, beta, plateau):
        drawn[plateau].append(beta)

    monkeypatch.setattr(blur_kernels, "bell_kernel", bell_kernel)
    random = ItemRandom(2)
    for _ in range(6000):
        random_kernel(random, (1.0, 3.0))
    plateaus, generalized = drawn[True], [beta for beta in drawn[False] if beta != 1]
    assert np.mean([beta == 1 for beta in plateaus]) == pytest.approx(0.5, abs=0.06)
    assert max(plateaus) <= 2
    assert np.mean([beta < 1 for beta in generalized]) == pytest.approx(0.5, abs=0.06)
    assert 0.5 <= min(generalized) < 0.52
    assert 3.9 < max(generalized) <= 4
