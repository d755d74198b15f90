"""ADA's operations: each against what it is by name, and the resampling against the published procedure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

import gankit
from gankit_augment import ada_color, ada_corruptions, ada_geometry, affine_matrices
from gankit_augment.ada_filter import FrequencyFilter, filter_bank
from gankit_augment.affine_resampling import AffineResampling
from gankit_augment.wavelets import SYM2, SYM6

F64 = torch.float64


def noise_images(n: int, c: int, h: int, w: int) -> Tensor:
    return torch.rand(n, c, h, w, generator=torch.Generator().manual_seed(1), dtype=F64) * 2 - 1


def ones(n: int, value: float = 1.0) -> Tensor:
    return torch.full((n,), value, dtype=F64)


@pytest.mark.parametrize(("taps", "moments"), [(SYM2, 2), (SYM6, 6)], ids=["sym2", "sym6"])
def test_wavelets_are_orthonormal_with_vanishing_moments(taps: tuple[float, ...], moments: int) -> None:
    h = np.array(taps)
    assert len(h) == 2 * moments
    assert h.sum() == pytest.approx(np.sqrt(2), abs=1e-10)
    for shift in range(0, len(h), 2):
        assert h[shift:] @ h[: len(h) - shift] == pytest.approx(float(shift == 0), abs=1e-10)
    k = np.arange(len(h))
    for moment in range(moments):
        assert (-1.0) ** k * (k / len(h)) ** moment @ h == pytest.approx(0, abs=1e-9)


def published(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """One image [c h w] through the published steps: pad, upsample, sample, downsample; written with loops of numpy."""
    taps = np.array(SYM6) / np.sum(SYM6)
    height, width = image.shape[1:]
    padded = np.pad(image, ((0, 0), (height - 1, height - 1), (width - 1, width - 1)), mode="reflect")

    def along(axis: int, function: Any, values: np.ndarray) -> np.ndarray:
        return np.apply_along_axis(function, axis, values)

    def up(row: np.ndarray) -> np.ndarray:
        spread = np.zeros(2 * len(row))
        spread[::2] = row
        return np.convolve(np.pad(spread, (6, 5)), 2 * taps, "valid")

    def down(row: np.ndarray) -> np.ndarray:
        return np.correlate(row[1:-1], taps, "valid")[::2]

    def scale(x: float, y: float) -> np.ndarray:
        return np.diag([x, y, 1.0])

    def translate(x: float, y: float) -> np.ndarray:
        return np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])

    enlarged = along(2, up, along(1, up, padded))
    matrix = scale(2, 2) @ matrix @ scale(0.5, 0.5)
    matrix = translate(-0.5, -0.5) @ matrix @ translate(0.5, 0.5)
    tall, wide = 2 * (height + 6), 2 * (width + 6)
    matrix = scale(2 / enlarged.shape[2], 2 / enlarged.shape[1]) @ matrix @ scale(wide / 2, tall / 2)
    grid = affine_grid(torch.from_numpy(matrix[None, :2]), [1, len(image), tall, wide], align_corners=False)
    sampled = grid_sample(torch.from_numpy(enlarged[None]), grid, align_corners=False)[0].numpy()
    return along(2, down, along(1, down, sampled))


@pytest.mark.parametrize("size", [(8, 8), (6, 11)], ids=str)
def test_resampling_is_the_published_procedure(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    images = noise_images(12, 2, *size)
    one = torch.ones((), dtype=F64)
    matrix = affine_matrices.draw_blits(images, one)[0] @ affine_matrices.draw_geometry(images, one)[0]
    matrix[0] = affine_matrices.shift(ones(1, 30), ones(1, -2))[0]  # beyond what is mirrored
    found = AffineResampling(gankit.ImageSpec(*size, 2))(images, matrix)
    expected = np.stack([published(i, m) for i, m in zip(images.numpy(), matrix.numpy(), strict=True)])
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-12)
    elsewhere = AffineResampling(gankit.ImageSpec(*size, 2))
    whole = elsewhere.through(images, *elsewhere.positions(matrix, images))  # as on other devices
    np.testing.assert_allclose(whole.numpy(), expected, rtol=0, atol=1e-12)


def test_resampling_of_what_does_not_move() -> None:
    images = noise_images(3, 3, 16, 12)
    found = AffineResampling(gankit.ImageSpec(16, 12, 3))(images, torch.eye(3, dtype=F64).expand(3, 3, 3))
    torch.testing.assert_close(found, images, rtol=0, atol=1e-10)


@pytest.mark.parametrize("size", [(6, 6), (6, 10)], ids=str)
@pytest.mark.parametrize("quarters", range(4))
def test_blits_copy_pixels(size: tuple[int, int], quarters: int) -> None:
    """Flip, then quarter turns, then a shift; mirrored at the border, or zero where mirroring once does not reach."""
    images = noise_images(2, 3, *size)
    height, width = size
    down, right = 1, -2
    matrix = (
        affine_matrices.flip(ones(2))
        @ affine_matrices.quarter_turn(ones(2, quarters))
        @ affine_matrices.shift(ones(2, right), ones(2, down))
    )
    found = ada_geometry.copy_pixels(images, matrix)
    wide = np.pad(images.numpy(), ((0, 0), (0, 0), (height - 1,) * 2, (width - 1,) * 2), mode="reflect")
    reach = 2 * max(wide.shape[2:])
    rows, columns = ((reach - side) // 2 for side in wide.shape[2:])
    far = np.pad(wide, ((0, 0), (0, 0), (rows, rows), (columns, columns)))
    turned = np.rot90(far[..., ::-1], quarters, axes=(2, 3))
    moved = np.roll(turned, (down, right), axis=(2, 3))
    top, left = (reach - height) // 2, (reach - width) // 2
    np.testing.assert_array_equal(found.numpy(), moved[:, :, top : top + height, left : left + width])


def test_quarter_turns_are_those_of_torch() -> None:
    images = noise_images(1, 3, 7, 7)
    for quarters in range(4):
        found = ada_geometry.copy_pixels(images, affine_matrices.quarter_turn(ones(1, quarters)))
        assert torch.equal(found, torch.rot90(images, quarters, (2, 3)))
        angle = affine_matrices.rotation(ones(1, quarters * np.pi / 2))
        torch.testing.assert_close(angle, affine_matrices.quarter_turn(ones(1, quarters)), rtol=0, atol=1e-12)
    assert torch.equal(ada_geometry.copy_pixels(images, affine_matrices.flip(ones(1))), images.flip(3))


def picture(x: Tensor, y: Tensor) -> Tensor:
    """A smooth picture, by position in pixels from the centre."""
    return torch.exp(-((x - 3).square() + (y + 2).square()) / 40) + torch.exp(-((x + 4).square() + y.square()) / 60)


CASES = {
    # where what was at (x, y) is found afterwards, y down
    "magnified": (affine_matrices.scale(ones(1, 1.3), ones(1, 1.3)), lambda x, y: (1.3 * x, 1.3 * y)),
    "stretched": (affine_matrices.scale(ones(1, 1.2), ones(1, 1 / 1.2)), lambda x, y: (1.2 * x, y / 1.2)),
    "turned counterclockwise": (
        affine_matrices.rotation(ones(1, np.pi / 6)),
        lambda x, y: (x * 3**0.5 / 2 + y / 2, -x / 2 + y * 3**0.5 / 2),
    ),
    "shifted": (affine_matrices.shift(ones(1, 1.7), ones(1, -2.4)), lambda x, y: (x + 1.7, y - 2.4)),
    "magnified, then shifted": (
        affine_matrices.scale(ones(1, 1.3), ones(1, 1.3)) @ affine_matrices.shift(ones(1, 1.7), ones(1, -2.4)),
        lambda x, y: (1.3 * x + 1.7, 1.3 * y - 2.4),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_geometry_moves_a_picture(case: str) -> None:
    matrix, moved = CASES[case]
    side = 32
    span = torch.arange(side, dtype=F64) - (side - 1) / 2
    x, y = span[None].expand(side, side), span[:, None].expand(side, side)
    found = AffineResampling(gankit.ImageSpec(side, side, 1))(picture(x, y)[None, None], matrix)[0, 0]
    # the linear map that `moved` is, solved for where each pixel comes from
    origin = torch.tensor(moved(0.0, 0.0))
    linear = torch.stack([torch.tensor(moved(1.0, 0.0)) - origin, torch.tensor(moved(0.0, 1.0)) - origin], 1).to(F64)
    source = torch.linalg.solve(linear, torch.stack([x.flatten(), y.flatten()]) - origin[:, None].to(F64))
    expected = picture(source[0], source[1]).view(side, side)
    inner = slice(8, -8)  # away from the mirrored border
    torch.testing.assert_close(found[inner, inner], expected[inner, inner], rtol=0, atol=6e-3)  # sampled bilinearly
    assert (picture(x, y)[inner, inner] - expected[inner, inner]).abs().max() > 0.05


def colored(matrix: Tensor, channels: int = 3) -> tuple[Tensor, Tensor]:
    images = noise_images(1, channels, 4, 5)
    return images, ada_color.apply_colors(images, matrix.to(F64))


LUMA = ada_color.ColorTransform(3).luma


def test_brightness_and_contrast() -> None:
    before, after = colored(ada_color.shift(ones(1, 0.3)))
    torch.testing.assert_close(after, before + 0.3)
    before, after = colored(ada_color.scale(ones(1, 1.7)))
    torch.testing.assert_close(after, before * 1.7)
    before, after = colored(ada_color.scale(ones(1, 1.7)) @ ada_color.shift(ones(1, 0.3)))
    torch.testing.assert_close(after, (before + 0.3) * 1.7)


def test_luma_is_inverted_and_chroma_kept() -> None:
    before, after = colored(ada_color.flip(LUMA, torch.tensor([True])))
    torch.testing.assert_close(after.mean(1), -before.mean(1))
    torch.testing.assert_close(after - after.mean(1, True), before - before.mean(1, True))
    assert torch.equal(ada_color.flip(LUMA, torch.tensor([False]))[0], torch.eye(4, dtype=F64))


def test_a_third_of_a_turn_of_hue_exchanges_the_channels() -> None:
    before, after = colored(ada_color.turn(LUMA, ones(1, 2 * np.pi / 3)))
    torch.testing.assert_close(after, before[:, [2, 0, 1]])
    before, after = colored(ada_color.turn(LUMA, ones(1, 1.1)))
    torch.testing.assert_close(after.mean(1), before.mean(1))
    torch.testing.assert_close(after.norm(dim=1), before.norm(dim=1))


def test_saturation() -> None:
    for factor in (0.0, 0.4, 2.5):
        before, after = colored(ada_color.saturate(LUMA, ones(1, factor)))
        grey = before.mean(1, True)
        torch.testing.assert_close(after, grey + factor * (before - grey))


def test_one_channel() -> None:
    matrix = ada_color.flip(LUMA, torch.tensor([True])) @ ada_color.scale(ones(1, 1.7)) @ ada_color.shift(ones(1, 0.3))
    before, after = colored(matrix, channels=1)
    torch.testing.assert_close(after, -1.7 * (before + 0.3))


def test_filter_bank_splits_octaves() -> None:
    bank = filter_bank()
    middle = bank.shape[1] // 2
    np.testing.assert_allclose(bank.sum(0), np.eye(1, bank.shape[1], middle)[0], atol=1e-10)
    np.testing.assert_allclose(bank, bank[:, ::-1], atol=1e-12)
    frequencies = np.array([0.0, 3 / 32, 3 / 16, 3 / 8, 1 / 2])  # cycles a pixel: the ends, and the bands' middles
    response = np.cos(2 * np.pi * np.outer(frequencies, np.arange(-middle, middle + 1))) @ bank.T
    np.testing.assert_allclose(response[0], [1, 0, 0, 0], atol=1e-10)
    np.testing.assert_allclose(response[4], [0, 0, 0, 1], atol=1e-10)
    assert response.argmax(1).tolist() == [0, 1, 2, 3, 3]


@pytest.mark.parametrize("size", [(8, 8), (30, 50)], ids=str)  # below and above half of the filter
def test_frequency_bands_are_a_filter_of_mirrored_images(size: tuple[int, int]) -> None:
    images = noise_images(1, 2, *size)
    gains = torch.tensor([[1.5, 0.3, 2.0, 0.7]], dtype=F64)
    found = FrequencyFilter(gankit.ImageSpec(*size, 2)).apply_gains(images, gains)
    taps = gains[0].numpy() @ filter_bank()
    half = len(taps) // 2
    wide = np.pad(images[0].numpy(), ((0, 0), (half, half), (half, half)), mode="reflect")
    for axis in (1, 2):
        wide = np.apply_along_axis(lambda row: np.convolve(row, taps, "valid"), axis, wide)
    np.testing.assert_allclose(found[0].numpy(), wide, atol=1e-10)


def test_gains_keep_the_expected_power() -> None:
    torch.manual_seed(0)
    images = torch.empty(2000, 1, 8, 8, dtype=F64)
    bands = FrequencyFilter(gankit.ImageSpec(8, 8, 1))
    gains, active = bands.draw(images, torch.tensor(0.2, dtype=F64))
    assert active.double().mean().item() == pytest.approx(1 - 0.8**4, abs=0.05)
    torch.testing.assert_close(gains[~active], torch.ones_like(gains[~active]))
    relative = gains / gains.median(1, keepdim=True).values
    alone = gains[((relative - 1).abs() > 1e-9).sum(1) == 1]  # where one band was drawn
    power = torch.tensor([10, 1, 1, 1], dtype=F64) / 13
    torch.testing.assert_close(alone.square() @ power, torch.ones(len(alone), dtype=F64))
    # the ratio of two bands is log-normal: of spread 1 for each that was drawn, so between 1 and the root of 2
    ratio = (gains[:, 3] / gains[:, 1]).log2()
    assert ratio[ratio.abs() > 1e-9].std().item() == pytest.approx(1.05, abs=0.15)


def test_cutout_is_a_box_about_its_centre() -> None:
    images = torch.ones(3, 2, 8, 12, dtype=F64)
    centre = torch.tensor([[0.5, 0.5], [0.0, 1.0], [0.5, 0.5]], dtype=F64)
    after = ada_corruptions.cut_out(images, centre, torch.tensor([True, True, False]))
    expected = images.clone()
    expected[0, :, 2:6, 3:9] = 0
    expected[1, :, 6:, :3] = 0
    assert torch.equal(after, expected)


def test_noise_has_a_half_normal_deviation() -> None:
    torch.manual_seed(0)
    images = noise_images(1500, 1, 16, 16)
    deviations = (ada_corruptions.noise(images, torch.tensor(1.0)) - images).flatten(1).std(1)
    assert deviations.mean().item() == pytest.approx(0.1 * np.sqrt(2 / np.pi), rel=0.06)
    assert deviations.square().mean().sqrt().item() == pytest.approx(0.1, rel=0.06)
