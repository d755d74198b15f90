"""The steps of the degradation, and random numbers that depend on a key alone."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from gankit_superresolution import degradation
from gankit_superresolution.degradation import FIRST, SECOND, compressed, degrade, filtered, noisy, resized
from gankit_superresolution.item_random import ItemRandom


def smooth(channels: int, side: int, seed: int = 0) -> Tensor:
    """A smooth image, uint8 [c side side]."""
    small = torch.rand(1, channels, 6, 6, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(small, (side, side), mode="bicubic").mul(255).clamp(0, 255).byte()[0]


class TestItemRandom:
    def test_numbers_depend_on_the_key_alone(self) -> None:
        def drawn(*key: int) -> list[object]:
            random = ItemRandom(*key)
            numbers = [random.uniform(2, 3), random.integer(0, 10**6), random.choose("abcdefgh"), random.chance(0.5)]
            return [*numbers, *random.normal(4).tolist(), *random.poisson(torch.full((4,), 50.0)).tolist()]

        first = drawn(3, 7)
        torch.rand(5)
        torch.manual_seed(11)
        assert drawn(3, 7) == first
        assert len({tuple(drawn(*key)) for key in ((3, 7), (3, 8), (4, 7), (7, 3), (3,))}) == 5

    def test_global_random_states_stay_as_they_are(self) -> None:
        torch.manual_seed(0)
        np.random.seed(0)
        before = torch.get_rng_state(), np.random.get_state()[1]
        degrade(smooth(3, 32), (8, 8), 2, ItemRandom(0))
        assert torch.equal(torch.get_rng_state(), before[0])
        np.testing.assert_array_equal(np.random.get_state()[1], before[1])

    def test_distributions(self) -> None:
        random, count = ItemRandom(0), 4000
        uniform = [random.uniform(-1, 3) for _ in range(count)]
        assert -1 <= min(uniform) < -0.99
        assert 2.99 < max(uniform) < 3
        assert np.mean(uniform) == pytest.approx(1, abs=0.08)
        chosen = [random.choose("abc", (2, 7, 1)) for _ in range(count)]
        assert [chosen.count(letter) / count for letter in "abc"] == pytest.approx([0.2, 0.7, 0.1], abs=0.03)
        chosen = [random.choose("abc") for _ in range(count)]
        assert [chosen.count(letter) / count for letter in "abc"] == pytest.approx([1 / 3] * 3, abs=0.04)
        assert {random.integer(4, 6) for _ in range(100)} == {4, 5, 6}
        assert np.mean([random.chance(0.8) for _ in range(count)]) == pytest.approx(0.8, abs=0.03)


def test_a_filter_is_a_correlation_with_repeated_borders() -> None:
    pixels = torch.rand(1, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    kernel = torch.rand(7, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) / 25
    padded = np.pad(pixels[0].numpy(), ((0, 0), (3, 3), (3, 3)), mode="edge").astype(np.float64)
    expected = np.empty((3, 5, 4))
    for row in range(5):
        for column in range(4):
            expected[:, row, column] = (padded[:, row : row + 7, column : column + 7] * kernel.numpy()).sum((1, 2))
    np.testing.assert_allclose(filtered(pixels, kernel)[0].numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_compression_is_that_of_a_jpeg_file(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    image = smooth(channels, 24)
    monkeypatch.setattr(degradation, "QUALITY", (40, 40))
    pixels = compressed(image[None].float() / 255, ItemRandom(0))
    file = io.BytesIO()
    pil = Image.fromarray(image[0].numpy() if channels == 1 else image.permute(1, 2, 0).numpy())
    pil.save(file, format="JPEG", quality=40)
    expected = np.array(Image.open(file)).reshape(24, 24, channels).transpose(2, 0, 1)
    np.testing.assert_array_equal((pixels[0] * 255).round().numpy(), expected)
    assert not np.array_equal(expected, image.numpy())


@pytest.mark.parametrize("gray", [True, False])
@pytest.mark.parametrize("gaussian", [True, False])
def test_noise_has_the_variance_of_its_kind(gray: bool, gaussian: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(degradation, "GRAY_CHANCE", float(gray))
    monkeypatch.setattr(degradation, "GAUSSIAN_CHANCE", float(gaussian))
    settings = FIRST._replace(gaussian=(10.0, 10.0), poisson=(2.0, 2.0))
    light = torch.tensor([0.3, 0.5, 0.7])[None, :, None, None].expand(1, 3, 100, 100)
    noise = (noisy(light, settings, ItemRandom(0)) - light)[0].flatten(1).double()
    assert noise.mean(1).abs().max() < 0.01
    if gaussian:
        expected = torch.full((3,), 10 / 255, dtype=torch.float64)
    else:  # the variance of a Poisson number is its rate
        expected = 2 * (torch.tensor([0.5, 0.5, 0.5] if gray else [0.3, 0.5, 0.7]).double() / 255).sqrt()
    torch.testing.assert_close(noise.std(1), expected, rtol=0.05, atol=0)
    correlation = torch.corrcoef(noise)
    assert (correlation[0, 1] > 0.99).item() is gray
    assert gray or correlation[0, 1].abs() < 0.05


def test_noise_leaves_no_values_outside_of_the_range() -> None:
    for seed in range(10):
        pixels = noisy(torch.tensor([0.0, 1.0]).repeat(1, 3, 8, 4), FIRST, ItemRandom(seed))
        assert pixels.min() == 0
        assert pixels.max() == 1


def test_resizing_is_by_one_of_three_methods() -> None:
    image = torch.rand(1, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    expected = [F.interpolate(image.double(), (30, 25), mode=mode).float() for mode in ("area", "bilinear", "bicubic")]
    results = [resized(image, (30, 25), ItemRandom(seed)) for seed in range(30)]
    chosen = [[torch.equal(result, one) for one in expected].index(True) for result in results]
    assert set(chosen) == {0, 1, 2}


def test_bicubic_only_is_torchs_antialiased_bicubic() -> None:
    image = smooth(3, 32)
    expected = F.interpolate(image[None].float() / 255, (8, 8), mode="bicubic", antialias=True)[0]
    torch.testing.assert_close(degrade(image, (8, 8), 0, ItemRandom(0)).float(), expected * 255, atol=0.51, rtol=0)


@pytest.mark.parametrize("rounds", [0, 1, 2])
@pytest.mark.parametrize(("channels", "size"), [(1, (3, 5)), (3, (16, 8)), (3, (64, 64)), (1, (1, 1))])
def test_shapes(rounds: int, channels: int, size: tuple[int, int]) -> None:
    image = torch.randint(0, 256, (channels, 4 * size[0], 4 * size[1]), dtype=torch.uint8)
    for seed in range(8):
        degraded = degrade(image, size, rounds, ItemRandom(seed))
        assert degraded.dtype == torch.uint8
        assert degraded.shape == (channels, *size)


def test_a_flat_image_stays_flat_but_for_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = {"gaussian": (0.0, 0.0), "poisson": (0.0, 0.0)}
    monkeypatch.setattr(degradation, "FIRST", FIRST._replace(**silent))
    monkeypatch.setattr(degradation, "SECOND", SECOND._replace(**silent))
    image = torch.tensor([40, 120, 200], dtype=torch.uint8)[:, None, None].expand(3, 32, 32)
    for seed in range(20):
        degraded = degrade(image, (16, 16), 2, ItemRandom(seed)).float()
        assert (degraded - image[:, :16, :16].float()).abs().max() <= 8  # JPEG and rounding


def test_each_round_takes_away_more() -> None:
    def error(rounds: int) -> float:
        errors = []
        for seed in range(40):
            image = smooth(3, 64, seed)
            expected = F.interpolate(image[None].float(), (16, 16), mode="area")[0]
            degraded = degrade(image, (16, 16), rounds, ItemRandom(seed)).float()
            errors.append((degraded - expected).square().mean().sqrt().item())
        return float(np.mean(errors))

    errors = [error(rounds) for rounds in range(3)]
    assert errors[0] < 4 < errors[1] < errors[2] < 40


def test_the_result_does_not_depend_on_the_number_of_threads() -> None:
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            results.append([degrade(smooth(3, 192, seed), (48, 48), 2, ItemRandom(seed)) for seed in range(8)])
    finally:
        torch.set_num_threads(threads)
    assert all(map(torch.equal, *results))
