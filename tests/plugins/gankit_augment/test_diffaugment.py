"""DiffAugment against the published recipe, inferred from what comes out rather than from how it is drawn."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

import gankit
import gankit_augment
from gankit.testing import check_augmentation, make_turn
from gankit_augment.diffaugment import DiffAugment

ALL = ("color", "translation", "cutout")
SPECS = [gankit.ImageSpec(16, 16, 3), gankit.ImageSpec(16, 24, 1), gankit.ImageSpec(10, 6, 4)]


def augment(images: Tensor, *policy: Any, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return DiffAugment(policy=policy)(images)  # type: ignore[no-any-return]


def random_images(n: int, c: int, h: int, w: int) -> Tensor:
    return torch.rand(n, c, h, w, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1


def repeated(n: int, c: int = 3, h: int = 16, w: int = 16) -> Tensor:
    return random_images(1, c, h, w).repeat(n, 1, 1, 1)


def assert_uniform(values: np.ndarray, low: float, high: float) -> None:
    """Kolmogorov-Smirnov at 0.1%, and both ends come into reach."""
    ranks = (np.sort(values) - low) / (high - low) - (np.arange(len(values)) + 0.5) / len(values)
    assert np.abs(ranks).max() < 1.95 / np.sqrt(len(values))
    assert low <= values.min() < low + 0.01 * (high - low)
    assert high - 0.01 * (high - low) < values.max() <= high


def assert_equally_often(counts: Counter[Any], values: set[Any]) -> None:
    """Each of ``values`` as often as the others, to five standard deviations, and nothing else."""
    assert set(counts) == values
    total, share = counts.total(), 1 / len(values)
    for count in counts.values():
        assert abs(count - total * share) < 5 * np.sqrt(total * share * (1 - share))


def color_factors(before: np.ndarray, after: np.ndarray) -> tuple[float, float, float]:
    """The brightness, saturation and contrast that turn one image [c h w] into the other.

    Saturation keeps each pixel's mean, contrast the image's; so brightness shows in the image's mean, contrast in how
    the pixels' means scatter about it, and saturation, with contrast, in how the channels scatter about the pixels'.
    """
    pixels = [image.mean(0) for image in (before, after)]
    brightness = after.mean() - before.mean()
    contrast = (pixels[1] - after.mean())[0, 0] / (pixels[0] - before.mean())[0, 0]
    both = (after[0] - pixels[1])[0, 0] / (before[0] - pixels[0])[0, 0]
    return float(brightness), float(both / contrast), float(contrast)


def test_color() -> None:
    images = repeated(2000, h=4, w=4)
    factors = []
    for before, after in zip(images.numpy(), augment(images, "color").numpy(), strict=True):
        brightness, saturation, contrast = color_factors(before, after)
        expected = before + brightness
        means = expected.mean(0)
        expected = means + saturation * (expected - means)
        expected = expected.mean() + contrast * (expected - expected.mean())
        np.testing.assert_allclose(after, expected, rtol=0, atol=1e-9)
        factors.append((brightness, saturation, contrast))
    columns = np.array(factors).T
    for values, (low, high) in zip(columns, [(-0.5, 0.5), (0, 2), (0.5, 1.5)], strict=True):
        assert_uniform(values, low, high)
    correlations = np.corrcoef(columns)[np.triu_indices(3, 1)]
    assert np.abs(correlations).max() < 4 / np.sqrt(2000)


def test_color_of_one_channel_has_no_saturation() -> None:
    image = random_images(1, 1, 3, 5)
    (before,), (after,) = image.numpy(), augment(image, "color").numpy()
    slope = (after - after.mean()) / (before - before.mean())
    np.testing.assert_allclose(slope, slope[0, 0, 0], atol=1e-9)
    assert 0.5 <= slope[0, 0, 0] <= 1.5


def shifted(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """The image moved by loops, with zeros where nothing lands."""
    result = np.zeros_like(image)
    _, height, width = image.shape
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                result[:, row, column] = image[:, row - down, column - right]
    return result


@pytest.mark.parametrize(("height", "width", "furthest"), [(16, 16, (2, 2)), (24, 8, (3, 1)), (12, 20, (2, 3))])
def test_translation(height: int, width: int, furthest: tuple[int, int]) -> None:
    shifts = {(y, x) for y in range(-furthest[0], furthest[0] + 1) for x in range(-furthest[1], furthest[1] + 1)}
    images = repeated(3000, c=2, h=height, w=width)
    known = {shifted(images[0].numpy(), *shift).tobytes(): shift for shift in shifts}
    counts = Counter(known[after.tobytes()] for after in augment(images, "translation").numpy())
    assert_equally_often(counts, shifts)


@pytest.mark.parametrize(("side", "box"), [(16, 8), (10, 5), (6, 3), (8, 4), (3, 2)])
def test_cutout(side: int, box: int) -> None:
    """The box is as large as published, centred anywhere, cut at the border; rows and columns are independent."""
    other = 6
    images = torch.ones(4000, 2, side, other)
    cut = augment(images, "cutout") == 0
    assert torch.equal(cut[:, 0], cut[:, 1])
    rows, columns = cut[:, 0].any(2), cut[:, 0].any(1)
    assert torch.equal(cut[:, 0], rows[:, :, None] & columns[:, None, :])
    centres = range(side + (1 - box % 2))
    allowed = {tuple(min(max(c - box // 2 + i, 0), side - 1) for i in range(box)): c for c in centres}
    spans = {tuple(sorted(set(indices))): centre for indices, centre in allowed.items()}
    found = [spans[tuple(row.nonzero().flatten().tolist())] for row in rows]
    assert_equally_often(Counter(found), set(centres))
    across = columns.float() @ torch.arange(other).float()
    correlation = np.corrcoef(found, across.numpy())[0, 1]
    assert abs(correlation) < 4 / np.sqrt(4000)


def test_cutout_keeps_the_rest() -> None:
    images = random_images(50, 3, 12, 20)
    after = augment(images, "cutout")
    kept = after != 0
    assert torch.equal(after[kept], images[kept])
    assert 0 < (~kept).double().mean() < 0.25 + 1e-9


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 4),
    c=st.integers(1, 4),
    h=st.integers(2, 20),
    w=st.integers(2, 20),
    policy=st.permutations(ALL).flatmap(lambda order: st.integers(1, 3).map(lambda k: tuple(order[:k]))),
    seed=st.integers(0, 2**31),
)
def test_any_shape_is_kept_and_seeds_repeat(n: int, c: int, h: int, w: int, policy: Any, seed: int) -> None:
    images = random_images(n, c, h, w).float()
    once, again = (augment(images, *policy, seed=seed) for _ in range(2))
    assert once.shape == images.shape
    assert once.dtype == images.dtype
    assert torch.equal(once, again)


@pytest.mark.parametrize("policy", [*ALL, ALL], ids=str)
def test_every_image_is_drawn_for(policy: Any) -> None:
    images = repeated(32)
    after = augment(images, *([policy] if isinstance(policy, str) else policy))
    assert len({image.numpy().tobytes() for image in after}) > 10
    other = augment(images, *([policy] if isinstance(policy, str) else policy), seed=1)
    assert not torch.equal(after, other)


def test_policies_apply_in_the_order_given() -> None:
    images = torch.zeros(64, 1, 8, 8)
    lit_last, cut_last = augment(images, "cutout", "color"), augment(images, "color", "cutout")
    assert bool((lit_last.amax((1, 2, 3)) == lit_last.amin((1, 2, 3))).all())
    assert bool((cut_last == 0).flatten(1).any(1).all())


@pytest.mark.parametrize("policy", [*(pytest.param(one, marks=pytest.mark.slow) for one in ALL), ALL], ids=str)
def test_derivatives(policy: Any) -> None:
    names = [policy] if isinstance(policy, str) else policy
    images = random_images(2, 2, 4, 6).requires_grad_()

    def bent(x: Tensor) -> Tensor:
        return augment(x, *names).sin()

    assert torch.autograd.gradcheck(bent, (images,))
    assert torch.autograd.gradgradcheck(bent, (images,))


@pytest.mark.parametrize("policy", [*ALL, ALL], ids=str)
def test_penalty_through_it(policy: Any) -> None:
    """The gradient penalty of D(x) = sum(a x^2), whose gradient with respect to a has a finite difference."""
    names = [policy] if isinstance(policy, str) else policy
    real = random_images(3, 2, 5, 4)

    def penalty(a: Tensor) -> Tensor:
        turn = make_turn(
            "discriminator",
            lambda z: real,
            lambda x: (a * x.square()).sum((1, 2, 3)),
            real,
            augment=lambda x: augment(x, *names),
        )
        return turn.gradient(turn.real).square().sum()

    a = random_images(1, 2, 5, 4)[0].requires_grad_()
    assert torch.autograd.gradcheck(penalty, (a,))
    assert penalty(a) > 0


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_conforms(spec: gankit.ImageSpec) -> None:
    check_augmentation(DiffAugment, spec)


def test_the_device_is_never_waited_for() -> None:
    images = torch.empty(4, 3, 16, 8, device="meta")  # which has no values to read
    assert DiffAugment()(images).shape == images.shape


def test_a_policy_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"policy \['color', 'color'\] has duplicates"):
        DiffAugment(policy=("color", "color"))


def test_schema() -> None:
    registries = gankit.Registries()
    gankit_augment.register(registries)
    entry = registries.augmentations.get("diffaugment")
    assert entry.schema().policy == ALL  # type: ignore[attr-defined]
    built = entry.build(entry.schema.model_validate({"policy": ["cutout", "color"]}), image=SPECS[0])
    assert built.policy == ("cutout", "color")
    assert "cutout, color" in repr(built)
    for wrong in ([], ["colour"], "color"):
        with pytest.raises(ValidationError, match="policy"):
            entry.schema.model_validate({"policy": wrong})
