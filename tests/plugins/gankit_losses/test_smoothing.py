"""Consistency, LeCam and DRAGAN, where the answer is known; and all regularizers in runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import gankit
from gankit.testing import make_turn
from gankit_losses.consistency import Consistency
from gankit_losses.gradient_penalties import DRAGAN
from gankit_losses.lecam import LeCam

F64 = torch.float64


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64) * 2 - 1


REAL, FAKE = random(6, 3, 8, 12), random(6, 3, 8, 12, seed=1)


def turn_of(discriminator: Any, real: Tensor = REAL, fake: Tensor = FAKE, **more: Any) -> Any:
    return make_turn("discriminator", lambda z: fake, discriminator, real, **more)


def test_moved_images_are_flipped_shifted_ones() -> None:
    images = random(1, 2, 8, 12).repeat(2000, 1, 1, 1)
    wide = np.pad(images[0].numpy(), ((0, 0), (2, 2), (2, 2)), mode="reflect")
    known = {}
    for down in range(-1, 2):
        for right in range(-2, 3):
            for flip in (False, True):
                moved = wide[:, 2 - down : 10 - down, 2 - right : 14 - right]
                known[(moved[..., ::-1] if flip else moved).tobytes()] = down, right, flip
    turn = turn_of(None, images, images)
    found = [known[image.tobytes()] for image in Consistency().move(turn, images).numpy()]
    assert set(found) == set(known.values())
    assert len(known) == 30
    for place in range(3):
        values = np.array([move[place] for move in found], dtype=float)
        assert abs(values.mean() - (place == 2) / 2) < 0.15
    assert torch.equal(Consistency(shift=0, flip=False).move(turn, images), images)
    assert not torch.equal(Consistency(shift=0).move(turn, images), images)


def test_consistency_is_the_mean_squared_difference() -> None:
    weight = random(3, 8, 12, seed=2)

    def discriminator(images: Tensor) -> Tensor:
        return (images * weight).sum((1, 2, 3))

    regularizer = Consistency(weight=3.0, fake_weight=0.5)
    turn, again = turn_of(discriminator), turn_of(discriminator)
    turn.context.random.manual_seed(4)
    value = regularizer.discriminator(turn).item()
    again.context.random.manual_seed(4)
    expected = 0.0
    for images, factor in ((REAL, 3.0), (FAKE, 0.5)):
        difference = discriminator(images) - discriminator(regularizer.move(again, images))
        expected += factor * difference.square().mean().item()
    assert value == pytest.approx(expected, rel=1e-9)
    assert value > 0


def test_consistency_of_what_sees_no_difference() -> None:
    turn = turn_of(lambda images: images.mean((1, 2, 3)) * 0 + 1.5)
    assert Consistency(fake_weight=10).discriminator(turn).item() == 0
    unused = turn_of(lambda images: images.sum((1, 2, 3)))
    Consistency().discriminator(unused)
    assert not unused.has_output("fake")
    assert Consistency(weight=0).discriminator(turn).item() == 0


@pytest.mark.parametrize("interval", [1, 2])
def test_consistency_may_begin_later(interval: int) -> None:
    schedule = {"start": 0, "end": 2, "over_images": 1, "after_images": 16}
    regularizers = [{"name": "consistency", "weight": schedule, "interval": interval}]
    trainer = gankit.Runtime().assemble(gankit.Recipe.parse({**RECIPE, "regularizers": regularizers}))
    values = [float(scalars["consistency"]) for scalars in (trainer.step() for _ in range(6)) if "consistency" in scalars]
    assert values[0] == 0 < values[-1]


@pytest.mark.parametrize("mapping", [False, True])
def test_consistency_of_many_heads(mapping: bool) -> None:
    """Of a head that is a map of logits, which T moves with the image, the means are compared."""
    def discriminator(images: Tensor) -> Any:
        heads = [images[:, :, 0].sum((1, 2)), images[:, 0]]  # a logit, and one a pixel
        return {"logits": heads} if mapping else heads

    regularizer = Consistency(weight=1.0)
    turn, again = turn_of(discriminator), turn_of(discriminator)
    turn.context.random.manual_seed(4)
    value = regularizer.discriminator(turn).item()
    again.context.random.manual_seed(4)
    moved = regularizer.move(again, REAL)
    squares = [(REAL[:, :, 0] - moved[:, :, 0]).sum((1, 2)).square()[:, None]]
    squares.append((REAL[:, 0] - moved[:, 0]).mean((1, 2)).square()[:, None])
    assert value == pytest.approx(torch.cat(squares, 1).mean().item(), rel=1e-9)


def test_both_sides_of_a_difference_are_taught() -> None:
    scale = torch.ones((), dtype=F64, requires_grad=True)
    regularizer = Consistency()

    def value(a: Tensor) -> Tensor:
        turn = turn_of(lambda images: a * images[:, 0, 0, 0])
        turn.context.random.manual_seed(4)
        return regularizer.discriminator(turn)

    assert torch.autograd.gradcheck(value, (scale,))


def test_lecam_follows_the_averages() -> None:
    """Against the rule in plain numbers, over a few turns."""
    regularizer = LeCam(weight=0.4, decay=0.9).double()
    real_average = fake_average = None
    for number in range(6):
        real, fake = random(5, seed=2 * number) + 0.5, random(5, seed=2 * number + 1)
        turn = turn_of(lambda images: images[:, 0, 0, 0], real.view(5, 1, 1, 1), fake.view(5, 1, 1, 1))
        value = regularizer.discriminator(turn).item()
        if real_average is None:
            assert value == 0
            real_average, fake_average = real.mean().item(), fake.mean().item()
        else:
            above = np.maximum(real.numpy() - fake_average, 0)
            below = np.maximum(real_average - fake.numpy(), 0)
            assert value == pytest.approx(0.4 * ((above**2).mean() + (below**2).mean()), rel=1e-9)
            assert value > 0
            real_average = 0.9 * real_average + 0.1 * real.mean().item()
            fake_average = 0.9 * fake_average + 0.1 * fake.mean().item()
        with torch.no_grad():
            regularizer.after(turn)
            regularizer.after(
                make_turn("generator", lambda z, f=fake: f.view(5, 1, 1, 1), lambda i: i.sum((1, 2, 3)), turn.real)
            )
        assert regularizer.real.item() == pytest.approx(real_average, rel=1e-9)
        assert regularizer.fake.item() == pytest.approx(fake_average, rel=1e-9)
    other = LeCam().double()
    other.load_state_dict(regularizer.state_dict())
    assert (other.real, other.fake, other.begun) == (regularizer.real, regularizer.fake, 1)


def test_lecams_averages_are_of_all_processes() -> None:
    regularizer = LeCam()

    class Turn:
        player = "discriminator"
        real_logits, fake_logits = torch.ones(4), torch.zeros(4)

        def mean(self, value: Tensor) -> Tensor:
            return value + 10

    turn: Any = Turn()
    regularizer.after(turn)
    assert (regularizer.real.item(), regularizer.fake.item()) == (11, 10)


@pytest.mark.parametrize(("norm", "expected"), [(1.0, 0.0), (3.0, 40.0), (0.5, 2.5)])
def test_dragan_on_a_linear_critic(norm: float, expected: float) -> None:
    direction = random(3, 8, 12, seed=2)
    direction *= norm / direction.norm()
    value = DRAGAN(weight=10).discriminator(turn_of(lambda images: (images * direction).sum((1, 2, 3))))
    assert value.item() == pytest.approx(expected, abs=1e-9)


def test_dragan_looks_about_the_reals() -> None:
    seen: list[Tensor] = []

    def discriminator(images: Tensor) -> Tensor:
        seen.append(images.detach())
        return images.sum((1, 2, 3))

    real = random(800, 1, 6, 6, seed=3)
    torch.manual_seed(0)
    turn = turn_of(discriminator, real, real)
    DRAGAN(spread=0.7).discriminator(turn)
    assert not turn.has_output("fake")
    (mixed,) = seen
    noise = (mixed - real).flatten(1) / (0.7 * real.std(correction=0))
    furthest = noise.amax(1)  # about each image's own proportion
    assert noise.min() >= 0
    assert noise.max() <= 1
    assert furthest.mean().item() == pytest.approx(0.5 * 36 / 37, abs=0.05)
    inside = noise / furthest[:, None]
    assert inside.mean().item() == pytest.approx(0.5 * 37 / 36, abs=0.01)


BOTH = [
    {"name": "consistency", "fake_weight": 5.0},
    {"name": "lecam"},
    {"name": "dragan", "interval": 2},
    {"name": "r1", "interval": 2},
]
RECIPE = {
    "name": "smooth",
    "image": {"size": 16},
    "latent": {"name": "normal", "dim": 8},
    "dataset": {"name": "shapes", "count": 64, "size": 16},
    "loader": {"batch_size": 8},
    "generator": {"name": "dcgan", "width": 4},
    "discriminator": {"name": "dcgan", "width": 4, "norm": "none"},
    "loss": "hinge",
    "regularizers": BOTH,
    "optimizers": {side: {"name": "sgd", "lr": 1e-3} for side in ("generator", "discriminator")},
    "train": {"steps": 6, "device": "cpu", "precision": "fp64"},
}


@pytest.mark.parametrize("more", [{}, {"microbatch": 3}, {"precision": "bf16"}], ids=str)
def test_runs(more: Any) -> None:
    trainer = gankit.Runtime().assemble(gankit.Recipe.parse({**RECIPE, "train": {**RECIPE["train"], **more}}))
    figures = [trainer.step() for _ in range(4)]
    assert float(figures[0]["lecam"]) == 0
    for scalars in figures[1:]:
        assert {"consistency", "lecam"} <= set(scalars)
        assert all(value.isfinite() for value in scalars.values())
        assert float(scalars["lecam"]) > 0
    assert "dragan" in figures[0] | figures[1]


def test_lecam_in_parts_is_lecam_as_a_whole() -> None:
    averages = []
    for more in ({}, {"microbatch": 4}):
        recipe = {
            **RECIPE,
            "regularizers": [{"name": "lecam"}],
            "train": {**RECIPE["train"], "fresh_fakes": True, **more},
        }
        trainer = gankit.Runtime().assemble(gankit.Recipe.parse(recipe))
        values = [float(trainer.step()["lecam"]) for _ in range(3)]
        (regularizer,) = trainer.context.regularizers.values()
        averages.append([float(regularizer.real), float(regularizer.begun), values[0]])
    assert averages[0] == pytest.approx(averages[1], rel=1e-3)


def test_resuming_keeps_the_averages(tmp_path: Any) -> None:
    runtime = gankit.Runtime()
    recipe = gankit.Recipe.parse(RECIPE)
    whole = runtime.assemble(recipe, tmp_path / "whole")
    whole.fit()
    part = runtime.assemble(recipe, tmp_path / "part")
    for _ in part:
        if part.state.step == 3:
            break
    resumed = runtime.resume(tmp_path / "part")
    resumed.fit()
    for one, other in zip(
        whole.state.discriminator.parameters(), resumed.state.discriminator.parameters(), strict=True
    ):
        assert torch.equal(one, other)
    one, other = (trainer.context.regularizers["lecam"] for trainer in (whole, resumed))
    assert (one.real, one.fake) == (other.real, other.fake)
