"""Refused transforms, the trial of a transform, and the recipe's schema."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.autograd.function import once_differentiable

import gankit
import gankit_augment
from gankit.testing import check_augmentation
from gankit_augment.kornia_pipeline import Kornia, Transform

SPEC = gankit.ImageSpec(16, 16, 3)


def kornia_pipeline(*transforms: dict[str, Any], spec: gankit.ImageSpec = SPEC) -> Kornia:
    return Kornia(spec, transforms=[Transform.model_validate(transform) for transform in transforms])


def random_images(n: int = 4, spec: gankit.ImageSpec = SPEC, dtype: torch.dtype = torch.float64) -> Tensor:
    random = torch.Generator().manual_seed(3)
    return torch.rand(n, spec.channels, spec.height, spec.width, generator=random, dtype=dtype) * 1.8 - 0.9


def test_conforms() -> None:
    parameters = [{"name": "RandomHorizontalFlip"}, {"name": "ColorJitter", "brightness": 0.2, "p": 0.8}]
    check_augmentation(Kornia, SPEC, transforms=[Transform.model_validate(item) for item in parameters])


def test_building_leaves_no_trace() -> None:
    before = torch.get_rng_state()
    with torch.device("meta"), torch.no_grad():
        built = kornia_pipeline({"name": "ColorJitter", "brightness": 0.2, "p": 0.4}, {"name": "RandomPlanckianJitter"})
    assert torch.equal(torch.get_rng_state(), before)
    assert built.transforms[0].p == 0.4
    images = random_images()
    torch.manual_seed(0)
    once = built(images)
    torch.manual_seed(0)
    assert torch.equal(once, copy.deepcopy(built)(images))
    assert built.state_dict() == {}
    assert "ColorJitter(brightness=0.2" in repr(built)


def test_the_default_device_does_not_matter() -> None:
    """As `gankit check` runs it: without data, on the meta device."""
    recipe = gankit.Recipe.load(Path(__file__).parents[3] / "recipes/dcgan_cifar10_kornia.yaml")
    assert gankit.Runtime().check(recipe).not_tried == {}
    built = kornia_pipeline({"name": "RandomAffine", "degrees": 20}, {"name": "ColorJitter", "brightness": 0.2})
    images = random_images()
    torch.manual_seed(0)
    expected = built(images)
    torch.manual_seed(0)
    with torch.device("meta"):
        assert torch.equal(built(images), expected)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": "RandomHorizontalFlp"}, r"kornia has no such augmentation; did you mean 'RandomHorizontalFlip'\?"),
    ({"name": "12345"}, "12345: kornia has no such augmentation; known: ColorJiggle, ColorJitter, RandomAffine"),
    ({"name": "RandomAffine", "degres": 3}, r"unknown parameter 'degres'; did you mean 'degrees'\?"),
    ({"name": "RandomAffine", "zz": 3}, r"RandomAffine: unknown parameter 'zz'; known: align_corners, degrees, "),
    ({"name": "RandomAffine"}, "RandomAffine: parameter 'degrees' is missing"),
    ({"name": "ColorJitter", "brightness": -1}, "ColorJitter: .*must be non negative"),
    ({"name": "RandomGaussianBlur", "kernel_size": [4, 4], "sigma": [1, 2]}, "RandomGaussianBlur: .*odd"),
    ({"name": "RandomHorizontalFlip", "p": 1.5}, "RandomHorizontalFlip: p is 1.5; give a probability from 0 to 1"),
    ({"name": "RandomHorizontalFlip", "p": float("nan")}, "p is nan"),
    ({"name": "RandomHorizontalFlip", "p": "often"}, "p is 'often'"),
    ({"name": "RandomPosterize"}, "RandomPosterize: its gradient is zero almost everywhere"),
    ({"name": "RandomEqualize"}, "RandomEqualize: its gradient is zero almost everywhere"),
    ({"name": "RandomClahe"}, "RandomClahe: its gradient is zero almost everywhere"),
    ({"name": "RandomGamma"}, "RandomGamma: its gradient is infinite on black"),
    ({"name": "Normalize", "mean": 0.5, "std": 0.5}, "Normalize: it treats every image in the same way"),
    ({"name": "RandomCrop", "size": [8, 8]}, r"RandomCrop: it changes \[3, 16, 16\] images \(c h w\) to \[3, 8, 8\]"),
    ({"name": "RandomMixUpV2"}, "RandomMixUpV2: it does not augment single images"),
    ({"name": "RandomAffine3D", "degrees": 3}, "RandomAffine3D: it does not augment single images"),
    ({"name": "AugmentationSequential"}, "AugmentationSequential: it does not augment single images"),
    ({"name": "AugmentationBase2D"}, "AugmentationBase2D: it does not augment single images"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("transform", "message"), REFUSED, ids=lambda value: value["name"] if isinstance(value, dict) else ""
)
def test_refused_transforms(transform: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kornia_pipeline(transform)


def test_refusals_rest_on_measurements() -> None:
    """The gradients that are given as the reason for a refusal."""
    import kornia.augmentation

    for name in ("RandomPosterize", "RandomEqualize", "RandomClahe"):
        images = random_images(8).add(1).div(2).requires_grad_()
        transform = getattr(kornia.augmentation, name)(p=1.0)

        def outcome(x: Tensor, transform: Any = transform) -> Tensor:
            torch.manual_seed(1)
            return transform(x).sum()  # type: ignore[no-any-return]

        value = outcome(images)
        if value.requires_grad:  # which then is not the slope
            (gradient,) = torch.autograd.grad(value, images)
            slope = (outcome(images + 1e-3) - outcome(images - 1e-3)).item() / 2e-3
            assert abs(gradient.sum().item() - slope) > 0.1 * abs(slope)
    black = torch.zeros(8, 3, 4, 4, requires_grad=True)
    torch.manual_seed(1)
    (gradient,) = torch.autograd.grad(kornia.augmentation.RandomGamma((0.5, 0.9), p=1.0)(black).sum(), black)
    assert not bool(gradient.isfinite().any())


class Once(torch.autograd.Function):
    """A square whose derivative cannot be differentiated."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return 2 * ctx.saved_tensors[0] * gradient  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (Once.apply, "RandomOdd: it cannot be differentiated twice with this torch"),
        (torch.sqrt, "RandomOdd: its gradient is NaN or infinite on black, white or flat images"),
        (torch.round, "RandomOdd: its gradient is zero almost everywhere"),
        (Tensor.detach, "RandomOdd: its gradient is zero almost everywhere"),
    ],
)
def test_the_trial_finds(monkeypatch: pytest.MonkeyPatch, function: Callable[[Tensor], Tensor], message: str) -> None:
    import kornia.augmentation

    class RandomOdd(kornia.augmentation.IntensityAugmentationBase2D):  # type: ignore[misc]
        def apply_transform(self, input: Tensor, *_: Any, **__: Any) -> Tensor:
            return function(input)

    monkeypatch.setattr(kornia.augmentation, "RandomOdd", RandomOdd, raising=False)
    with pytest.raises(ValueError, match=message):
        kornia_pipeline({"name": "RandomOdd"})


def test_every_fault_is_named_with_its_place() -> None:
    with pytest.raises(ValueError, match=r"transforms\[0\]: RandomGamma: .*; transforms\[2\]: Nothing: kornia"):
        kornia_pipeline({"name": "RandomGamma"}, {"name": "RandomInvert"}, {"name": "Nothing"})


def test_schema() -> None:
    registries = gankit.Registries()
    gankit_augment.register(registries)
    entry = registries.augmentations.get("kornia")
    items = [{"name": "RandomHorizontalFlip", "p": 0.5}, {"name": "RandomAffine", "degrees": [-5, 5]}]
    params = entry.schema.model_validate({"transforms": items})
    assert params.model_dump(mode="json") == {"transforms": items}
    assert [type(t).__name__ for t in entry.build(params, image=SPEC).transforms] == [item["name"] for item in items]
    for wrong in ([], [{"p": 0.5}], [{"name": 3}], {}):
        with pytest.raises(ValidationError, match="transforms"):
            entry.schema.model_validate({"transforms": wrong})
