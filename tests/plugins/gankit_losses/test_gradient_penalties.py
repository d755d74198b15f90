"""The penalties where the answer is known, and against finite differences where it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

import gankit
import gankit_losses
from gankit.testing import make_turn
from gankit_losses.gradient_penalties import DRAGAN, R1, R2, GradientPenalty

SHAPE = (3, 4, 2)


class Critic(nn.Sequential):
    """A smooth network whose every parameter reaches the gradient."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(24, 6), nn.Softplus(), nn.Linear(6, 1, bias=False))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(images.flatten(1))  # type: ignore[no-any-return]


def turn_with(discriminator: Callable[[Tensor], Tensor], augment: Callable[[Tensor], Tensor] | None = None) -> Any:
    torch.manual_seed(0)
    real = torch.rand(5, *SHAPE, dtype=torch.float64) * 2 - 1
    fakes = torch.rand(5, *SHAPE, dtype=torch.float64) * 2 - 1
    return make_turn("discriminator", lambda z: fakes, discriminator, real, augment=augment)


def linear(norm: float) -> Callable[[Tensor], Tensor]:
    torch.manual_seed(1)
    direction = torch.randn(SHAPE, dtype=torch.float64)
    direction *= norm / direction.norm()
    return lambda images: (images * direction).sum((1, 2, 3))


@pytest.mark.parametrize("penalty", [R1(gamma=0.7), R2(gamma=0.7)], ids=["r1", "r2"])
def test_linear_discriminator(penalty: Any) -> None:
    assert penalty.discriminator(turn_with(linear(3.0))).item() == pytest.approx(0.35 * 9, rel=1e-12)


@pytest.mark.parametrize(("penalty", "side"), [(R1(gamma=2.0), "real"), (R2(gamma=2.0), "fake")], ids=["r1", "r2"])
def test_quadratic_discriminator(penalty: Any, side: str) -> None:
    turn = turn_with(lambda images: images.square().sum((1, 2, 3)) / 2)  # its gradient is the image itself
    expected = getattr(turn, side).detach().square().sum((1, 2, 3)).mean().item()
    assert penalty.discriminator(turn).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("penalty", [R1(), R2()], ids=["r1", "r2"])
def test_gradient_passes_through_the_augmentation(penalty: Any) -> None:
    plain = penalty.discriminator(turn_with(linear(1.5)))
    doubled = penalty.discriminator(turn_with(linear(1.5), augment=lambda images: 2 * images))
    assert (doubled / plain).item() == pytest.approx(4, rel=1e-12)


@pytest.mark.parametrize(("norm", "expected"), [(1.0, 0.0), (3.0, 40.0), (0.5, 2.5)])
def test_wgan_gp_on_a_linear_critic(norm: float, expected: float) -> None:
    assert GradientPenalty(weight=10).discriminator(turn_with(linear(norm))).item() == pytest.approx(expected, abs=1e-9)


def test_wgan_gp_passes_through_the_augmentation() -> None:
    turn = turn_with(linear(0.5), augment=lambda images: 2 * images)
    assert GradientPenalty().discriminator(turn).item() == pytest.approx(0, abs=1e-9)


def test_wgan_gp_where_the_gradient_vanishes() -> None:
    scale = torch.zeros((), dtype=torch.float64, requires_grad=True)
    penalty = GradientPenalty(weight=3).discriminator(turn_with(lambda images: scale * images.sum((1, 2, 3))))
    assert penalty.item() == pytest.approx(3)
    (gradient,) = torch.autograd.grad(penalty, scale)
    assert gradient.item() == 0


def test_wgan_gp_mixes_each_pair_in_a_uniform_proportion() -> None:
    seen: list[Tensor] = []

    def discriminator(images: Tensor) -> Tensor:
        seen.append(images.detach())
        return images.sum((1, 2, 3))

    real, fakes = -torch.ones(2000, 1, 2, 2), torch.ones(2000, 1, 2, 2)
    turn = make_turn("discriminator", lambda z: fakes, discriminator, real)
    GradientPenalty().discriminator(turn)
    (mix,) = seen
    share = (mix[:, 0, 0, 0] + 1) / 2  # of the fake
    assert torch.equal(mix, mix[:, :1, :1, :1].expand_as(mix))
    assert 0 <= share.min() < 0.01
    assert 0.99 < share.max() <= 1
    ranks = share.sort().values - (torch.arange(2000) + 0.5) / 2000
    assert ranks.abs().max() < 1.63 / 2000**0.5  # Kolmogorov-Smirnov, 1%


def test_wgan_gp_repeats_under_a_seed() -> None:
    def penalty(seed: int) -> float:
        turn = turn_with(lambda images: images.pow(3).sum((1, 2, 3)))
        turn.context.random.manual_seed(seed)
        return GradientPenalty().discriminator(turn).item()

    assert penalty(3) == penalty(3)
    assert penalty(3) != penalty(4)


@pytest.mark.parametrize(
    "penalty",
    [R1(gamma=0.5), R2(gamma=0.5), GradientPenalty(weight=2.0), DRAGAN(weight=2.0)],
    ids=lambda p: type(p).__name__,
)
def test_parameter_gradient_is_the_finite_difference(penalty: Any) -> None:
    torch.manual_seed(5)
    network = Critic().double()

    def value() -> Tensor:
        turn = turn_with(network, augment=lambda images: images.roll(1, 2).sin())
        return penalty.discriminator(turn)  # type: ignore[no-any-return]

    gradient = parameters_to_vector(torch.autograd.grad(value(), list(network.parameters())))
    start = parameters_to_vector(network.parameters()).detach()
    direction = torch.randn_like(start)
    step = 1e-5
    sides = []
    for moved in (start + step * direction, start - step * direction):
        vector_to_parameters(moved, network.parameters())
        sides.append(value().item())
    assert (gradient @ direction).item() == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-6)


@pytest.mark.parametrize("penalty", [R1(), R2(), GradientPenalty()], ids=lambda p: type(p).__name__)
def test_only_the_discriminator_is_moved(penalty: Any) -> None:
    generator, critic = nn.Linear(4, 24), Critic()
    turn = make_turn("discriminator", lambda z: generator(z).view(-1, *SHAPE), critic, torch.randn(3, *SHAPE))
    value = penalty.discriminator(turn)
    value.backward(inputs=list(critic.parameters()))
    assert value.dtype == torch.float32
    assert all(p.grad is None for p in generator.parameters())
    assert bool(critic[0].weight.grad.any())
    assert not hasattr(penalty, "generator")


@pytest.mark.parametrize("penalty", [R1(), R2(), GradientPenalty()], ids=lambda p: type(p).__name__)
def test_norms_of_a_half_precision_gradient(penalty: Any) -> None:
    class HalfTurn:
        real = torch.rand(2, *SHAPE)
        fake = torch.rand(2, *SHAPE)

        def uniform(self) -> Tensor:
            return torch.rand(2)

        def gradient(self, images: Tensor) -> Tensor:
            return torch.full(images.shape, 300.0, dtype=torch.float16)

    value = penalty.discriminator(HalfTurn())  # its square overflows fp16
    assert value.isfinite()
    assert value.dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "weight"), [("r1", "gamma"), ("r2", "gamma"), ("gradient_penalty", "weight"), ("dragan", "weight")]
)
def test_weights_are_scheduled_and_bounded(name: str, weight: str) -> None:
    registries = gankit.Registries()
    gankit_losses.register(registries)
    entry = registries.regularizers.get(name)
    params = entry.schema.model_validate({weight: {"start": 4, "end": 0, "over_images": 100}, "interval": 16})
    assert params.scheduled == (weight,)
    penalty = entry.build(params)
    assert (getattr(penalty, weight), penalty.interval) == (4, 16)
    full = penalty.discriminator(turn_with(linear(3.0))).item()
    setattr(penalty, weight, params.at(75)[weight])
    assert penalty.discriminator(turn_with(linear(3.0))).item() == pytest.approx(full / 4)
    for wrong in ({weight: -1}, {weight: {"start": 1, "end": -1, "over_images": 9}}, {"interval": 0}):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            entry.schema.model_validate(wrong)
