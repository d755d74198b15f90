"""APA: how many fakes D is shown as reals, and that p moves and is kept."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import gankit
from gankit_augment.apa import APA

RECIPE: dict[str, Any] = {
    "name": "apa",
    "image": {"size": 16},
    "latent": {"name": "normal", "dim": 8},
    "dataset": {"name": "shapes", "count": 64, "size": 16},
    "loader": {"batch_size": 8},
    "conditional": True,
    "generator": {"name": "dcgan", "width": 4},
    "discriminator": {"name": "dcgan", "width": 4},
    "loss": "non_saturating",
    "optimizers": {side: {"name": "adam", "lr": 1e-3} for side in ("generator", "discriminator")},
}


def recipe(**game: Any) -> gankit.Recipe:
    train = {"steps": 10, "device": "cpu", "precision": "fp32", "discriminator_steps": 2}
    return gankit.Recipe.parse(RECIPE | {"train": train | {"game": {"name": "apa", **game}}})


def test_fakes_take_the_place_of_reals() -> None:
    batch = gankit.Batch(torch.ones(2000, 1, 2, 2), torch.arange(2000) % 3)
    asked: list[Any] = []

    class Negative(APA):
        def draw_fakes(self, batch: gankit.Batch, graph: bool = True) -> Any:
            asked.append((batch, graph))
            return type("Fakes", (), {"images": -torch.ones_like(batch.images)})

    torch.manual_seed(0)
    mixed = Negative(p=0.3, target=None).shown_to_discriminator(batch)
    assert asked == [(batch, False)]
    assert mixed.labels is batch.labels
    assert torch.equal(mixed.images, mixed.images[:, :1, :1, :1].expand_as(mixed.images))
    assert (mixed.images[:, 0, 0, 0] == -1).double().mean().item() == pytest.approx(0.3, abs=0.04)
    for p in (0.0, 1.0):
        assert bool((Negative(p=p, target=None).shown_to_discriminator(batch).images == 1 - 2 * p).all())


def test_only_d_sees_fakes_as_reals() -> None:
    """A loss that compares images with reals, such as ``reconstruction``, must not compare with fakes."""
    seen: dict[str, list[torch.Tensor]] = {"generator": [], "discriminator": []}

    class Watch(gankit.Regularizer):
        def discriminator(self, turn: gankit.Turn) -> torch.Tensor:
            seen["discriminator"].append(turn.real)
            return 0 * turn.fake_logits.mean()

        def generator(self, turn: gankit.Turn) -> torch.Tensor:
            seen["generator"].append(turn.real)
            return 0 * turn.fake_logits.mean()

    runtime = gankit.Runtime()
    runtime.registries.regularizers.add("watch", Watch)
    chosen = recipe(p=1.0, target=None).document.data | {"regularizers": [{"name": "watch"}]}
    trainer = runtime.assemble(gankit.Recipe.parse(chosen))
    trainer.step()
    reals, shown = seen["generator"][-1], seen["discriminator"][-1]
    second = trainer.real(16)[8:]  # D's two turns have a batch of 8 each, and G's the second one
    assert torch.equal(reals, second.float().div(127.5).sub(1))
    assert not torch.isclose(shown, reals).flatten(1).all(dim=1).any()


def test_at_zero_it_is_the_usual_game() -> None:
    """But for the latents of fakes that nobody is shown."""
    trainer = gankit.Runtime().assemble(recipe(target=None))
    scalars = trainer.step()
    assert float(scalars["apa_p"]) == 0
    assert all(value.isfinite() for value in scalars.values())
    assert (trainer.state.step, trainer.state.images) == (1, 16)


def test_resuming_keeps_p(tmp_path: Any) -> None:
    runtime, chosen = gankit.Runtime(), recipe(target=-0.9, speed=200, interval=2)
    whole = runtime.assemble(chosen, tmp_path / "whole")
    whole.fit()
    assert float(whole.context.game.adapted) == pytest.approx(9 * 16 / 200)
    part = runtime.assemble(chosen, tmp_path / "part")
    for _ in part:
        if part.state.step == 5:
            break
    resumed = runtime.resume(tmp_path / "part")
    resumed.fit()
    assert float(resumed.context.game.adapted) == float(whole.context.game.adapted)
    for one, other in zip(whole.state.generator.parameters(), resumed.state.generator.parameters(), strict=True):
        assert torch.equal(one, other)


def test_schedules_are_for_what_is_not_adapted() -> None:
    schedule = {"start": 0, "end": 0.5, "over_images": 80}
    trainer = gankit.Runtime().assemble(recipe(target=None, p=schedule))
    assert [round(float(trainer.step()["apa_p"]), 6) for _ in range(3)] == [0, 0.1, 0.2]
    with pytest.raises(gankit.RecipeError, match=r"train\.game\.target: p is scheduled, .* or p to a number"):
        gankit.Runtime().check(recipe(p=schedule))
