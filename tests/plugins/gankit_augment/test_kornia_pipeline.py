"""Each kornia transform against plain tensor code, its derivatives, range and randomness."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

import gankit
from gankit.testing import make_turn
from gankit_augment.kornia_pipeline import Kornia, Transform
from gankit_augment.kornia_transforms import UNSUITABLE

SPEC = gankit.ImageSpec(16, 16, 3)


# every one that is of use, with parameters under which it does something
TRANSFORMS: dict[str, dict[str, Any]] = {
    "ColorJiggle": {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.1},
    "ColorJitter": {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.1},
    "RandomAffine": {"degrees": 20, "translate": [0.1, 0.1], "scale": [0.8, 1.2], "shear": 10},
    "RandomAutoContrast": {},
    "RandomBoxBlur": {},
    "RandomBrightness": {"brightness": [0.7, 1.3]},
    "RandomChannelDropout": {},
    "RandomChannelShuffle": {},
    "RandomContrast": {"contrast": [0.7, 1.3]},
    "RandomCrop": {"size": [16, 16], "padding": 2},
    "RandomElasticTransform": {"kernel_size": [7, 7], "sigma": [2.0, 2.0]},
    "RandomErasing": {},
    "RandomGaussianBlur": {"kernel_size": [3, 3], "sigma": [0.5, 1.0]},
    "RandomGaussianIllumination": {},
    "RandomGaussianNoise": {"std": 0.1},
    "RandomGrayscale": {},
    "RandomHorizontalFlip": {},
    "RandomHue": {"hue": [-0.2, 0.2]},
    "RandomInvert": {},
    "RandomJPEG": {},
    "RandomLinearCornerIllumination": {},
    "RandomLinearIllumination": {},
    "RandomMedianBlur": {},
    "RandomMotionBlur": {"kernel_size": 3, "angle": 30.0, "direction": 0.5},
    "RandomPerspective": {},
    "RandomPlanckianJitter": {},
    "RandomPlasmaBrightness": {},
    "RandomPlasmaContrast": {},
    "RandomPlasmaShadow": {},
    "RandomRGBShift": {},
    "RandomRain": {"number_of_drops": [3, 5], "drop_height": [2, 4], "drop_width": [1, 2]},
    "RandomResizedCrop": {"size": [16, 16]},
    "RandomRotation": {"degrees": 20},
    "RandomRotation90": {"times": [0, 3]},
    "RandomSaltAndPepperNoise": {},
    "RandomSaturation": {"saturation": [0.7, 1.3]},
    "RandomSharpness": {},
    "RandomShear": {"shear": 10},
    "RandomSnow": {"snow_coefficient": [0.3, 0.7]},
    "RandomSolarize": {},
    "RandomThinPlateSpline": {},
    "RandomTranslate": {"translate_x": [-0.1, 0.1], "translate_y": [-0.1, 0.1]},
    "RandomVerticalFlip": {},
}


NEED_RGB = {
    *("ColorJiggle", "ColorJitter", "RandomHue", "RandomJPEG"),
    *("RandomPlanckianJitter", "RandomRGBShift", "RandomSaturation", "RandomSnow"),
}


LEAVE_THE_RANGE = {"RandomGaussianNoise"}


RANDOM_BY_CHANCE_ALONE = {  # with p = 1 they do the same to each image
    *("RandomAutoContrast", "RandomBoxBlur", "RandomGrayscale", "RandomHorizontalFlip"),
    *("RandomInvert", "RandomMedianBlur", "RandomVerticalFlip"),
}


def kornia_pipeline(*transforms: dict[str, Any], spec: gankit.ImageSpec = SPEC) -> Kornia:
    return Kornia(spec, transforms=[Transform.model_validate(transform) for transform in transforms])


def named(name: str, spec: gankit.ImageSpec = SPEC, p: float = 1.0) -> Kornia:
    parameters = dict(TRANSFORMS[name])
    if "size" in parameters:
        parameters["size"] = [spec.height, spec.width]
    return kornia_pipeline({"name": name, **parameters, "p": p}, spec=spec)


def random_images(n: int = 4, spec: gankit.ImageSpec = SPEC, dtype: torch.dtype = torch.float64) -> Tensor:
    random = torch.Generator().manual_seed(3)
    return torch.rand(n, spec.channels, spec.height, spec.width, generator=random, dtype=dtype) * 1.8 - 0.9


def shifted(images: Tensor, down: int, right: int) -> Tensor:
    """The images moved over the [0, 1] range's zeros, which are -1 here."""
    _, _, height, width = images.shape
    padded = pad(images, (width, width, height, height), value=-1)
    return padded[:, :, height - down : 2 * height - down, width - right : 2 * width - right]


def in_unit_range(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda images: 2 * function((images + 1) / 2).clamp(0, 1) - 1


def gray(images: Tensor) -> Tensor:
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=images.dtype).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True).expand_as(images)


FIXED: list[tuple[dict[str, Any], Callable[[Tensor], Tensor]]] = [
    ({"name": "RandomHorizontalFlip"}, lambda x: x.flip(3)),
    ({"name": "RandomVerticalFlip"}, lambda x: x.flip(2)),
    ({"name": "RandomInvert"}, lambda x: -x),
    ({"name": "RandomRotation90", "times": [1, 1]}, lambda x: x.rot90(1, (2, 3))),
    ({"name": "RandomRotation", "degrees": [180, 180]}, lambda x: x.rot90(2, (2, 3))),
    ({"name": "RandomBrightness", "brightness": [1.2, 1.2]}, in_unit_range(lambda x: x + 0.2)),
    ({"name": "RandomContrast", "contrast": [0.7, 0.7]}, in_unit_range(lambda x: x * 0.7)),
    ({"name": "RandomGrayscale"}, in_unit_range(gray)),
    ({"name": "RandomTranslate", "translate_x": [0.25, 0.25], "translate_y": [0, 0]}, lambda x: shifted(x, 0, 4)),
    ({"name": "RandomTranslate", "translate_x": [0, 0], "translate_y": [-0.125, -0.125]}, lambda x: shifted(x, -2, 0)),
    ({"name": "RandomAffine", "degrees": 0, "scale": [1, 1]}, lambda x: x),
    ({"name": "RandomBoxBlur", "kernel_size": [3, 3]}, lambda x: avg_pool2d(pad(x, (1,) * 4, mode="reflect"), 3, 1)),
    ({"name": "RandomSolarize", "thresholds": [0.5, 0.5], "additions": [0, 0]}, lambda x: torch.where(x < 0, x, -x)),
]  # fmt: skip


@pytest.mark.parametrize(("transform", "plain"), FIXED, ids=[item["name"] for item, _ in FIXED])
def test_against_a_plain_tensor_version(transform: dict[str, Any], plain: Callable[[Tensor], Tensor]) -> None:
    images = random_images()
    torch.testing.assert_close(kornia_pipeline({**transform, "p": 1.0})(images), plain(images), rtol=0, atol=1e-5)


def test_crop_moves_by_whole_pixels_as_far_as_its_padding() -> None:
    images = random_images(1).repeat(500, 1, 1, 1)
    torch.manual_seed(0)
    after = named("RandomCrop")(images)
    known = {(y, x): shifted(images[:1], y, x)[0] for y in range(-2, 3) for x in range(-2, 3)}
    found = [[shift for shift, image in known.items() if torch.allclose(image, moved, atol=1e-6)] for moved in after]
    assert all(len(shifts) == 1 for shifts in found)
    assert {shifts[0] for shifts in found} == set(known)


def test_noise_has_the_spread_asked_for_and_is_not_clamped() -> None:
    images = torch.ones(20, 3, 16, 16)
    torch.manual_seed(0)
    noise = kornia_pipeline({"name": "RandomGaussianNoise", "std": 0.1, "p": 1.0})(images) - images
    assert noise.std().item() == pytest.approx(0.2, rel=0.02)  # [-1, 1] is twice as wide as kornia's range
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert noise.max() > 0


def test_transforms_apply_in_the_order_given() -> None:
    images = random_images()
    brighten = {"name": "RandomBrightness", "brightness": [1.3, 1.3], "p": 1.0}
    invert = {"name": "RandomInvert", "p": 1.0}
    torch.testing.assert_close(kornia_pipeline(brighten, invert)(images), -(images + 0.6).clamp(max=1))
    torch.testing.assert_close(kornia_pipeline(invert, brighten)(images), (-images + 0.6).clamp(max=1))


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_probability(p: float) -> None:
    images = random_images(1).repeat(2000, 1, 1, 1)
    torch.manual_seed(0)
    after = kornia_pipeline({"name": "RandomHorizontalFlip", "p": p})(images)
    flipped = (after - images.flip(3)).flatten(1).abs().amax(1) < 1e-6
    kept = (after - images).flatten(1).abs().amax(1) < 1e-6
    assert bool((flipped ^ kept).all())
    assert abs(flipped.double().mean().item() - p) <= 4 * (p * (1 - p) / 2000) ** 0.5


@pytest.mark.parametrize("name", TRANSFORMS)
def test_derivatives_and_penalty(name: str) -> None:
    """First derivative, and that of R1 with respect to D's weight, are the finite differences."""
    transform, real = named(name), random_images(2)
    weight = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)

    def augment(images: Tensor) -> Tensor:
        torch.manual_seed(4)
        return transform(images)  # type: ignore[no-any-return]

    def penalty(scale: Tensor) -> Tensor:
        turn = make_turn(
            "discriminator", lambda z: real, lambda x: (scale * x).sin().sum((1, 2, 3)), real, augment=augment
        )
        return turn.gradient(turn.real).square().sum((1, 2, 3)).mean() / 2

    (second,) = torch.autograd.grad(penalty(weight), weight)
    step = 1e-5
    expected = (penalty(weight + step) - penalty(weight - step)) / (2 * step)
    assert second.item() == pytest.approx(expected.item(), rel=1e-6, abs=1e-9)
    assert penalty(weight) > 0

    images, direction = real.clone().requires_grad_(), random_images(2).flip(0)
    (gradient,) = torch.autograd.grad(augment(images).sin().sum(), images)
    step = 1e-7
    sides = [augment(real + sign * step * direction).sin().sum() for sign in (1, -1)]
    slope = (gradient * direction).sum().item()
    assert slope == pytest.approx(((sides[0] - sides[1]) / (2 * step)).item(), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("name", ["RandomAffine", "RandomHue", *(pytest.param(name, marks=pytest.mark.slow) for name in ("RandomCrop", "RandomGaussianBlur"))])
def test_gradgradcheck(name: str) -> None:
    spec = gankit.ImageSpec(3, 4, 3)
    transform, images = named(name, spec), random_images(1, spec).requires_grad_()

    def bent(x: Tensor) -> Tensor:
        torch.manual_seed(4)
        return transform(x).sin()  # type: ignore[no-any-return]

    assert torch.autograd.gradgradcheck(bent, (images,))


@pytest.mark.parametrize("name", TRANSFORMS)
def test_shape_type_range_and_seed(name: str) -> None:
    for spec in (SPEC, gankit.ImageSpec(16, 32, 3)):
        transform = named(name, spec, p=0.7)
        for dtype in (torch.float32, torch.float64):
            images = torch.cat([random_images(8, spec, dtype), random_images(8, spec, dtype).sign()])
            torch.manual_seed(5)
            once = transform(images)
            torch.manual_seed(5)
            assert torch.equal(once, transform(images))
            assert once.shape == images.shape
            assert once.dtype == dtype
            assert bool(once.isfinite().all())
            if name not in LEAVE_THE_RANGE:
                assert once.abs().max() <= 1 + 1e-5
            torch.manual_seed(6)
            assert not torch.equal(once, transform(images))


@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_image_is_drawn_for(name: str) -> None:
    images = random_images(1).repeat(24, 1, 1, 1)
    torch.manual_seed(0)
    always, sometimes = (len({image.numpy().tobytes() for image in named(name, p=p)(images)}) for p in (1.0, 0.5))
    assert sometimes >= 2
    assert (always == 1) if name in RANDOM_BY_CHANCE_ALONE else (always > 2)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_other_channels(name: str, channels: int) -> None:
    spec = gankit.ImageSpec(16, 16, channels)
    refused = name in NEED_RGB or (channels == 4 and name in {"RandomRain", "RandomSaltAndPepperNoise"})
    if refused:
        with pytest.raises(ValueError, match=rf"{name}: kornia cannot apply it to \[{channels}, 16, 16\] images"):
            named(name, spec)
    elif name == "RandomChannelDropout" and channels == 1:
        with pytest.raises(ValueError, match="RandomChannelDropout: its gradient is zero"):
            named(name, spec)
    else:
        images = random_images(2, spec)
        assert named(name, spec)(images).shape == images.shape


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_device_is_never_waited_for(name: str) -> None:
    transform = named(name, p=0.5).to("meta")  # which has no values to read
    assert transform(torch.empty(4, 3, 16, 16, device="meta")).device.type == "meta"


def test_documented_transforms() -> None:
    page = (Path(__file__).parents[3] / "docs/augmentation.md").read_text(encoding="utf-8")
    accepted, refused = (
        re.findall(rf"<!-- {mark} -->\n(.*?)<!-- /{mark} -->", page, flags=re.S)[0] for mark in ("accepted", "refused")
    )
    assert re.findall(r"`(\w+)`", accepted) == sorted(TRANSFORMS)
    for row in re.findall(r"^\| (`.*) \| (.*) \|$", refused, flags=re.M):
        for name in re.findall(r"`(\w+)`", row[0]):
            assert UNSUITABLE[name] == row[1]
    assert set(re.findall(r"`(\w+)`", refused)) == set(UNSUITABLE)
    import kornia.augmentation

    for name in UNSUITABLE:
        assert hasattr(kornia.augmentation, name)
