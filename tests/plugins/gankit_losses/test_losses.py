"""Each loss against its formula, worked out in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn

import gankit
import gankit_losses
from gankit.testing import make_turn
from gankit_losses.hinge import Hinge
from gankit_losses.least_squares import LeastSquares
from gankit_losses.logistic import BCE, NonSaturating, Relativistic, RelativisticAverage
from gankit_losses.wasserstein import Wasserstein

Arrays = tuple[np.ndarray, np.ndarray]
LOSSES: list[Any] = [
    BCE(),
    BCE(label_smoothing=0.1),
    NonSaturating(),
    Relativistic(),
    RelativisticAverage(),
    LeastSquares(),
    Hinge(),
    Wasserstein(),
]
REGULARIZERS = {
    "auxiliary_classifier",
    "consistency",
    "contrastive",
    "d2d_ce",
    "dragan",
    "gradient_penalty",
    "lecam",
    "perceptual",
    "r1",
    "r2",
    "reconstruction",
    "total_variation",
}


def log_sigmoid(x: np.ndarray) -> np.ndarray:
    return -np.logaddexp(0, -x)


def reference(loss: Any, real: np.ndarray, fake: np.ndarray) -> tuple[float, float]:
    """D's and G's loss, in the papers' own terms (sigmoids, margins, squares)."""
    match loss:
        case BCE():
            target = 1 - loss.label_smoothing
            on_real = -(target * log_sigmoid(real) + (1 - target) * log_sigmoid(-real)).mean()
            return on_real - log_sigmoid(-fake).mean(), -log_sigmoid(fake).mean()
        case NonSaturating():
            return -log_sigmoid(real).mean() - log_sigmoid(-fake).mean(), -log_sigmoid(fake).mean()
        case Relativistic():
            return -log_sigmoid(real - fake).mean(), -log_sigmoid(fake - real).mean()
        case RelativisticAverage():
            real_above, fake_above = real - fake.mean(), fake - real.mean()
            return (
                -log_sigmoid(real_above).mean() - log_sigmoid(-fake_above).mean(),
                -log_sigmoid(fake_above).mean() - log_sigmoid(-real_above).mean(),
            )
        case LeastSquares():
            return 0.5 * ((real - 1) ** 2).mean() + 0.5 * (fake**2).mean(), 0.5 * ((fake - 1) ** 2).mean()
        case Hinge():
            return np.maximum(0, 1 - real).mean() + np.maximum(0, 1 + fake).mean(), -fake.mean()
        case Wasserstein():
            return fake.mean() - real.mean(), -fake.mean()
    raise AssertionError(loss)


class LogitsOnly:
    """The part of a turn that a loss looks at."""

    def __init__(self, real: Tensor | None, fake: Tensor) -> None:
        self.real, self.fake_logits = real, fake

    @property
    def real_logits(self) -> Tensor:
        assert self.real is not None, "the reals' logits cost a forward, and this loss has no use for them"
        return self.real

    def mean(self, value: Tensor) -> Tensor:
        return value


@st.composite
def logits(draw: st.DrawFn) -> Arrays:
    shape = (draw(st.integers(1, 5)), *draw(st.lists(st.integers(1, 3), max_size=3)))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([1.0, 10.0, 300.0]))
    return random.normal(size=shape) * scale, random.normal(size=shape) * scale


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
@settings(deadline=None)
@given(pair=logits())
def test_both_turns_are_the_formula(loss: Any, pair: Arrays) -> None:
    real, fake = pair
    turn = LogitsOnly(torch.from_numpy(real), torch.from_numpy(fake))
    discriminator, generator = reference(loss, real, fake)
    assert loss.discriminator(turn).item() == pytest.approx(discriminator, rel=1e-9, abs=1e-9)
    assert loss.generator(turn).item() == pytest.approx(generator, rel=1e-9, abs=1e-9)
    assert loss.discriminator(turn).shape == loss.generator(turn).shape == ()


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_gradients_push_the_logits_the_right_way(loss: Any) -> None:
    real, fake = torch.tensor([0.3, -0.2], requires_grad=True), torch.tensor([0.1, -0.4], requires_grad=True)
    turn = LogitsOnly(real, fake)
    on_real, on_fake = torch.autograd.grad(loss.discriminator(turn), [real, fake])
    if not isinstance(loss, LeastSquares):  # which draws each fake to 0, from either side
        assert bool((on_fake > 0).all())
    assert bool((on_real < 0).all())
    (on_fake,) = torch.autograd.grad(loss.generator(turn), [fake])
    assert bool((on_fake < 0).all())


@pytest.mark.parametrize("loss", [x for x in LOSSES if not isinstance(x, (Relativistic, RelativisticAverage))], ids=lambda x: type(x).__name__)
def test_generators_turn_leaves_the_reals_alone(loss: Any) -> None:
    assert loss.generator(LogitsOnly(None, torch.randn(4))).isfinite()


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_extreme_logits_stay_finite(loss: Any) -> None:
    real = torch.tensor([-1e4, 1e4], requires_grad=True)
    fake = torch.tensor([1e4, -1e4], requires_grad=True)
    for side in (loss.discriminator, loss.generator):
        value = side(LogitsOnly(real, fake))
        assert value.isfinite()
        for gradient in torch.autograd.grad(value, [real, fake], allow_unused=True):
            assert gradient is None or bool(gradient.isfinite().all())


def test_smoothing_is_one_sided() -> None:
    plain, smooth = BCE(), BCE(label_smoothing=0.2)
    real, fake = torch.randn(8), torch.randn(8, requires_grad=True)
    turn = LogitsOnly(real, fake)
    assert torch.equal(plain.generator(turn), smooth.generator(turn))
    gradients = [torch.autograd.grad(loss.discriminator(turn), fake)[0] for loss in (plain, smooth)]
    assert torch.equal(*gradients)
    # the best logit of a real is then finite: log(0.8 / 0.2)
    best = torch.full((1,), float(np.log(4)), requires_grad=True)
    (gradient,) = torch.autograd.grad(smooth.discriminator(LogitsOnly(best, torch.zeros(1))), best)
    assert gradient.item() == pytest.approx(0, abs=1e-6)


def test_relativistic_pairs_by_place() -> None:
    real, fake = torch.tensor([0.0, 5.0]), torch.tensor([1.0, 3.0])
    straight = Relativistic().discriminator(LogitsOnly(real, fake))  # type: ignore[arg-type]
    crossed = Relativistic().discriminator(LogitsOnly(real, fake.flip(0)))  # type: ignore[arg-type]
    assert straight.item() == pytest.approx(np.mean(np.log1p(np.exp([1.0, -2.0]))), abs=1e-6)
    assert crossed.item() == pytest.approx(np.mean(np.log1p(np.exp([3.0, -4.0]))), abs=1e-6)


def test_relativistic_average_is_the_same_over_several_processes() -> None:
    """Two halves of a batch, whose means are joined by `turn.mean`, have the loss and gradients of the whole."""
    random = torch.Generator().manual_seed(0)
    logits = [torch.randn(6, 2, 3, dtype=torch.float64, generator=random).requires_grad_() for _ in range(2)]
    loss = RelativisticAverage()
    for side in (loss.discriminator, loss.generator):
        whole = side(LogitsOnly(*logits))  # type: ignore[arg-type]
        halves = [LogitsOnly(*(values[rows] for values in logits)) for rows in (slice(0, 3), slice(3, 6))]
        means = [values.mean() for values in logits]
        for half in halves:
            own = {half.real_logits.mean().item(): means[0], half.fake_logits.mean().item(): means[1]}
            half.mean = lambda value, own=own: own[value.item()]  # type: ignore[method-assign]
        parts = (side(halves[0]) + side(halves[1])) / 2  # type: ignore[arg-type]
        assert parts.item() == pytest.approx(whole.item(), rel=1e-12)
        alone = side(LogitsOnly(*(values[:3] for values in logits)))  # type: ignore[arg-type]
        assert abs(alone.item() - whole.item()) > 1e-3
        for mine, theirs in zip(torch.autograd.grad(parts, logits), torch.autograd.grad(whole, logits), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_a_generator_trains_through_a_turn(loss: Any) -> None:
    generator, discriminator = nn.Linear(4, 12), nn.Linear(12, 1)
    turn = make_turn(
        "generator",
        lambda z: generator(z).tanh().view(-1, 3, 2, 2),
        lambda images: discriminator(images.flatten(1)),
        torch.rand(5, 3, 2, 2) * 2 - 1,
    )
    before = turn.fake_logits.mean().item()
    (gradient,) = torch.autograd.grad(loss.generator(turn), generator.weight)
    with torch.no_grad():
        generator.weight -= 1e-2 * gradient
        after = discriminator(generator(turn.latents).tanh()).mean().item()
    assert after > before


@pytest.mark.parametrize("value", [-0.1, 0.5, 1.0, "much"])
def test_smoothing_has_bounds(value: Any) -> None:
    registries = gankit.Registries()
    gankit_losses.register(registries)
    schema = registries.losses.get("bce").schema
    with pytest.raises(ValidationError, match="label_smoothing"):
        schema(label_smoothing=value)
    assert schema(label_smoothing=0.1).label_smoothing == 0.1  # type: ignore[attr-defined]


def test_all_are_registered() -> None:
    registries = gankit.Registries()
    gankit_losses.register(registries)
    names = {entry.name for entry in registries.losses}
    assert names == {"bce", "non_saturating", "lsgan", "hinge", "wasserstein", "relativistic", "relativistic_average"}
    assert {entry.name for entry in registries.regularizers} == REGULARIZERS
    for registry in (registries.losses, registries.regularizers):
        for entry in registry:
            entry.build(entry.schema())
            assert entry.summary
