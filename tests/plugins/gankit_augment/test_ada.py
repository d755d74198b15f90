"""ADA: how often each operation is drawn, its distribution, and its derivatives."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import gankit
from gankit.testing import check_augmentation, make_turn
from gankit_augment import affine_matrices, affine_resampling
from gankit_augment.ada import ADA
from gankit_augment.ada_color import ColorTransform

POLICIES = ("blit", "geom", "color", "filter", "noise", "cutout")


F64 = torch.float64


def ada(images: Tensor, *policy: Any, p: float = 1.0, **parameters: Any) -> ADA:
    spec = gankit.ImageSpec(images.shape[2], images.shape[3], images.shape[1])
    return ADA(spec, policy=policy, p=p, target=None, **parameters).to(images.dtype)


def noise_images(n: int, c: int = 3, h: int = 8, w: int = 8) -> Tensor:
    return torch.rand(n, c, h, w, generator=torch.Generator().manual_seed(1), dtype=F64) * 2 - 1


@pytest.mark.parametrize("policy", [*POLICIES, POLICIES], ids=str)
def test_at_zero_nothing_changes(policy: Any) -> None:
    images = noise_images(16).float()
    names = [policy] if isinstance(policy, str) else policy
    assert torch.equal(ada(images, *names, p=0.0)(images), images)


@pytest.mark.parametrize("policy", POLICIES)
def test_at_one_every_image_changes_and_each_otherwise(policy: str) -> None:
    torch.manual_seed(0)
    images = noise_images(1).repeat(200, 1, 1, 1)
    after = ada(images, policy)(images)
    changed = (after != images).flatten(1).any(1).double().mean().item()
    # of blits and boxes, some happen to change nothing: a quarter of the turns with half of the flips, shifts by none
    assert changed == 1 if policy not in ("blit", "cutout") else changed > 0.9
    assert len({image.numpy().tobytes() for image in after}) > (
        30 if policy == "blit" else 100 if policy != "cutout" else 40
    )


@pytest.mark.parametrize(("policy", "chances"), [("noise", 1), ("filter", 4), ("geom", None)])
def test_share_of_changed_images(policy: str, chances: int | None) -> None:
    torch.manual_seed(0)
    images, p = noise_images(1, 1).repeat(3000, 1, 1, 1), 0.15
    changed = (ada(images, policy, p=p)(images) != images).flatten(1).any(1).double().mean().item()
    # geometry: scale, rotation (before or after), stretch, shift
    expected = 1 - (1 - p) ** (4 if chances is None else chances)
    assert changed == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 3000))


def share(flags: Tensor) -> float:
    return flags.double().mean().item()


@pytest.mark.parametrize("p", [0.2, 1.0])
def test_blits_follow_p(p: float) -> None:
    torch.manual_seed(0)
    images = torch.empty(6000, 3, 32, 64, dtype=F64)
    matrix, active = affine_matrices.draw_blits(images, torch.tensor(p, dtype=F64))
    near = {"abs": 4 * 0.5 / math.sqrt(6000)}
    assert share(torch.linalg.det(matrix) < 0) == pytest.approx(p / 2, **near)
    assert share(matrix[:, 0, 0] == 0) == pytest.approx(p / 2, **near)  # an odd number of quarters, of four
    offsets = torch.linalg.inv(matrix)[:, :2, 2]
    assert torch.equal(offsets, offsets.round())
    assert offsets.abs().amax(0).tolist() == [8, 4]  # an eighth of each side
    moved = share((offsets != 0).any(1))
    assert moved == pytest.approx(p * (1 - (1 / 16) * (1 / 8)), **near)
    assert share(active) == pytest.approx(1 - (1 - p / 2) * (1 - p) ** 2, **near)


@pytest.mark.parametrize("p", [0.2, 1.0])
def test_geometry_follows_p(p: float) -> None:
    """The determinant is the scale's alone; singular values tell the stretch, and an angle is left without one."""
    torch.manual_seed(0)
    images = torch.empty(6000, 3, 32, 64, dtype=F64)
    matrix, active = affine_matrices.draw_geometry(images, torch.tensor(p, dtype=F64))
    near = {"abs": 4 * 0.5 / math.sqrt(6000)}
    forward = torch.linalg.inv(matrix)
    log_scale = torch.linalg.det(forward[:, :2, :2]).log2() / 2
    scaled = log_scale.abs() > 1e-9
    assert share(scaled) == pytest.approx(p, **near)
    assert log_scale[scaled].std().item() == pytest.approx(0.2, rel=0.06)
    singular = torch.linalg.svdvals(forward[:, :2, :2]).log2()
    spread = (singular[:, 0] - singular[:, 1]) / 2  # |log2| of the stretch
    stretched = spread > 1e-9
    assert share(stretched) == pytest.approx(p, **near)
    assert spread[stretched].square().mean().sqrt().item() == pytest.approx(0.2, rel=0.06)
    assert share((forward[:, 0, 1] != 0) | (forward[:, 1, 0] != 0)) == pytest.approx(p, **near)
    offsets = forward[:, :2, 2]
    shifted = (offsets != 0).any(1)
    assert share(shifted) == pytest.approx(p, **near)
    assert (offsets[shifted].std(0) / torch.tensor([64, 32])).tolist() == pytest.approx([0.125] * 2, rel=0.06)
    assert share(active) == pytest.approx(1 - (1 - p) ** 4, **near)


@pytest.mark.parametrize("p", [0.2, 1.0])
def test_colors_follow_p(p: float) -> None:
    torch.manual_seed(0)
    images = torch.empty(6000, 3, 1, 1, dtype=F64)
    matrix, active = ColorTransform(3).to(F64).draw(images, torch.tensor(p, dtype=F64))
    near = {"abs": 4 * 0.5 / math.sqrt(6000)}
    linear, offset = matrix[:, :3, :3], matrix[:, :3, 3]
    grey = linear.sum(2).mean(1)  # what becomes of luma: contrast, inverted or not
    assert share(grey < 0) == pytest.approx(p / 2, **near)
    contrast = grey.abs().log2()
    drawn = contrast.abs() > 1e-9
    assert share(drawn) == pytest.approx(p, **near)
    assert contrast[drawn].std().item() == pytest.approx(0.5, rel=0.06)
    brightness = offset.mean(1) / grey
    assert share(brightness != 0) == pytest.approx(p, **near)
    assert brightness[brightness != 0].std().item() == pytest.approx(0.2, rel=0.06)
    saturation = (torch.linalg.det(linear).abs() / grey.abs().pow(3)).log2() / 2
    drawn = saturation.abs() > 1e-9
    assert share(drawn) == pytest.approx(p, **near)
    assert saturation[drawn].std().item() == pytest.approx(1.0, rel=0.06)
    turned = (linear - linear.mT).abs().amax((1, 2)) > 1e-9
    assert share(turned) == pytest.approx(p, **near)
    assert share(active) == pytest.approx(1 - (1 - p) ** 4 * (1 - p / 2), **near)


def test_a_policys_share_of_p() -> None:
    torch.manual_seed(0)
    augmentation = ada(torch.ones(1, 1, 8, 8), "noise", "cutout", p=0.6, share={"cutout": 0.5})
    cut = (augmentation(torch.ones(3000, 1, 8, 8)) == 0).flatten(1).any(1).double().mean().item()
    assert cut == pytest.approx(0.3, abs=0.04)


CASES = [
    *(pytest.param((name,), (2, 3, 3), marks=pytest.mark.slow) for name in POLICIES),
    (("blit", "geom"), (1, 3, 4)),
    (POLICIES, (1, 3, 5)),
]


@pytest.mark.parametrize(("names", "size"), CASES, ids=str)
def test_derivatives(names: Any, size: tuple[int, int, int]) -> None:
    images = noise_images(2, *(size if "color" not in names or size[0] != 2 else (3, 3, 3))).requires_grad_()
    augmentation = ada(images, *names, p=0.7)

    def bent(x: Tensor) -> Tensor:
        torch.manual_seed(3)
        return augmentation(x).sin()

    assert torch.autograd.gradcheck(bent, (images,))
    assert torch.autograd.gradgradcheck(bent, (images,))


def test_penalty_through_it() -> None:
    """The gradient penalty of D(x) = sum(a x^2), whose gradient with respect to a has a finite difference."""
    real = noise_images(3, 3, 5, 5)
    augmentation = ada(real, "blit", "geom", "color")

    def augmented(x: Tensor) -> Tensor:
        torch.manual_seed(3)
        return augmentation(x)

    def penalty(a: Tensor) -> Tensor:
        turn = make_turn(
            "discriminator", lambda z: real, lambda x: (a * x.square()).sum((1, 2, 3)), real, augment=augmented
        )
        return turn.gradient(turn.real).square().sum()

    a = noise_images(1, 3, 5, 5)[0].requires_grad_()
    assert torch.autograd.gradcheck(penalty, (a,))
    assert penalty(a) > 0


def test_sampling_where_gradients_must_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    images = noise_images(4, 2, 6, 9).requires_grad_()
    of_column, of_row = torch.randn(4, 5, 2, dtype=F64) * 6, torch.randn(4, 7, 2, dtype=F64) * 6

    def outcome() -> list[Tensor]:
        sampled = affine_resampling.sample_bilinearly(images, of_column, of_row)
        return [sampled.detach(), *torch.autograd.grad(sampled.sin().sum(), images)]

    usual = outcome()
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    torch.testing.assert_close(outcome(), usual)


@pytest.mark.parametrize(
    "spec",
    [gankit.ImageSpec(16, 16, 3), gankit.ImageSpec(8, 12, 1), gankit.ImageSpec(7, 10, 3), gankit.ImageSpec(2, 2, 1)],
    ids=str,
)
def test_conforms(spec: gankit.ImageSpec) -> None:
    check_augmentation(ADA, spec, policy=POLICIES, p=0.8, target=None)


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channels_without_color(channels: int) -> None:
    check_augmentation(ADA, gankit.ImageSpec(8, 8, channels), policy=("blit", "geom"), p=0.8, target=None)
    with pytest.raises(ValueError, match=f"'color' needs 1 or 3 channels, but the images have {channels}"):
        ADA(gankit.ImageSpec(8, 8, channels))


class Judged:
    """D's turn with given logits, as much of one as ADA looks at."""

    player = "discriminator"

    def __init__(self, logits: Tensor, images_seen: int) -> None:
        self.real_logits, self.images_seen = logits, images_seen

    def mean(self, value: Tensor) -> Tensor:
        return value


def test_the_device_is_never_waited_for() -> None:
    images = torch.empty(4, 3, 16, 8, device="meta")  # which has no values to read
    augmentation = ADA(gankit.ImageSpec(16, 8, 3), policy=POLICIES).to("meta")
    assert augmentation(images).shape == images.shape
    turn: Any = Judged(torch.empty(4, device="meta"), 128)
    assert augmentation.after(turn)["ada_p"].shape == ()
