"""The truncation trick: an exact map of normal latents to truncated ones."""

import math

import pytest
import torch
from pydantic import ValidationError

import gankit
from gankit.registry import signature_schema
from gankit_biggan.networks import BigGANGenerator
from gankit_biggan.truncation import truncate


def cumulative(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("threshold", [0.02, 0.5, 1.0, 2.0, 4.0])
def test_quantiles_are_those_of_the_truncated_normal(threshold: float, dtype: torch.dtype) -> None:
    z = torch.tensor([-5.0, -2.0, -0.7, 0.0, 0.1, 1.5, 3.0, 6.0], dtype=dtype)
    low, high = cumulative(-threshold), cumulative(threshold)
    for before, after in zip(z.tolist(), truncate(z, threshold).tolist(), strict=True):
        assert -threshold <= after <= threshold
        found = (cumulative(after) - low) / (high - low)
        assert found == pytest.approx(cumulative(before), abs=1e-5 if dtype == torch.float32 else 1e-12)


def test_samples_have_the_truncated_normals_moments() -> None:
    z = torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    cut = truncate(z, 1.0)
    variance = 1 - 2 * math.exp(-0.5) / math.sqrt(2 * math.pi) / (cumulative(1) - cumulative(-1))
    assert cut.mean().item() == pytest.approx(0, abs=0.006)
    assert cut.var().item() == pytest.approx(variance, rel=0.01)
    assert torch.equal(cut.argsort(), z.argsort()) or (cut[z.argsort()].diff() >= 0).all()


def test_far_thresholds_change_nothing_and_signs_stay() -> None:
    z = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(truncate(z, 30.0), z, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(truncate(-z, 0.7), -truncate(z, 0.7), rtol=0, atol=0)


def test_the_sampling_option() -> None:
    torch.manual_seed(0)
    generator = BigGANGenerator(gankit.ImageSpec(16, 16, 3, classes=3), 8, width=4).eval()
    z, labels = torch.randn(4, 8), torch.tensor([0, 1, 2, 0])
    images = generator(z, labels)
    assert torch.equal(generator(z, labels, truncation=None), images)
    cut = generator(z, labels, truncation=0.5)
    assert torch.equal(cut, generator(truncate(z, 0.5), labels))
    assert (cut - images).abs().max() > 1e-3
    same_class = generator(z[[0, 3]], labels[[0, 3]], truncation=1e-4)
    torch.testing.assert_close(same_class[0], same_class[1], rtol=0, atol=1e-2)


def test_thresholds_are_positive() -> None:
    options = signature_schema(BigGANGenerator.forward, ("self", "z", "labels"), "options")
    assert options().truncation is None
    assert options(truncation=0.7).truncation == 0.7
    with pytest.raises(ValidationError, match="greater than 0"):
        options(truncation=0)


def test_the_threshold_can_be_a_tensor() -> None:
    """As an exported program passes it."""
    z = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(truncate(z, torch.tensor(0.7)), truncate(z, 0.7))
