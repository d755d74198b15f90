"""Adaptation of ADA's probability, its state and its schedule."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

import gankit
import gankit_augment
from gankit_augment.ada import ADA

POLICIES = ("blit", "geom", "color", "filter", "noise", "cutout")


class Judged:
    """D's turn with given logits, as much of one as ADA looks at."""

    player = "discriminator"

    def __init__(self, logits: Tensor, images_seen: int) -> None:
        self.real_logits, self.images_seen = logits, images_seen

    def mean(self, value: Tensor) -> Tensor:
        return value


def test_p_follows_the_signs() -> None:
    """Against the rule in plain numbers, through both directions and both bounds."""
    augmentation = ADA(gankit.ImageSpec(8, 8, 3), target=0.5, speed=1000, interval=4)
    random = torch.Generator().manual_seed(0)
    p, signs, since = 0.0, [], None
    visited = set()
    for turn_number in range(160):
        images_seen = 50 * turn_number
        likely = 0.95 if turn_number // 60 % 2 == 0 else 0.5
        logits = (torch.rand(64, generator=random) < likely).double() * 2 - 1
        turn: Any = Judged(logits * torch.rand(64, generator=random), images_seen)
        figures = augmentation.after(turn)
        since = images_seen if since is None else since
        signs.append(float(logits.mean()))
        if len(signs) == 4:
            step = (images_seen - since) / 1000
            p = min(1.0, max(0.0, p + (step if sum(signs) / 4 > 0.5 else -step)))
            signs, since = [], images_seen
        assert float(figures["ada_p"]) == pytest.approx(p, abs=1e-5)
        assert augmentation.probability().item() == pytest.approx(p, abs=1e-5)
        visited.add(round(p, 3))
    assert {0.0, 1.0} < visited
    assert len(visited) > 5


def test_signs_are_those_of_all_processes_and_heads() -> None:
    augmentation = ADA(gankit.ImageSpec(8, 8, 3), speed=1000, interval=1)
    turn: Any = Judged(torch.ones(4, 2), 100)
    turn.mean = lambda value: value * 0 - 1  # what the others saw outweighs it
    augmentation.after(turn)
    augmentation.adapted.fill_(0.5)
    turn.images_seen = 200
    augmentation.after(turn)
    assert augmentation.adapted.item() == pytest.approx(0.4)
    generators: Any = SimpleNamespace(player="generator")
    assert augmentation.after(generators) == {}


def test_state_round_trip() -> None:
    spec = gankit.ImageSpec(8, 8, 3)
    first, second = ADA(spec, speed=1000, interval=3), ADA(spec, speed=1000, interval=3)
    for turn_number in range(17):
        if turn_number == 8:
            assert set(first.state_dict()) == {"adapted", "signs", "turns", "since"}
            second.load_state_dict(first.state_dict())
        turn: Any = Judged(torch.ones(4), 60 * turn_number)
        figures = [augmentation.after(turn)["ada_p"] for augmentation in (first, second)[: 1 + (turn_number >= 8)]]
        assert len({float(figure) for figure in figures}) == 1
    assert float(first.adapted) == pytest.approx(0.06 * 14)


RECIPE = {
    "name": "ada",
    "image": {"size": 16},
    "latent": {"name": "normal", "dim": 8},
    "dataset": {"name": "shapes", "count": 64, "size": 16},
    "loader": {"batch_size": 8},
    "generator": {"name": "dcgan", "width": 4},
    "discriminator": {"name": "dcgan", "width": 4},
    "loss": "non_saturating",
    "optimizers": {side: {"name": "adam", "lr": 1e-3} for side in ("generator", "discriminator")},
    "train": {"steps": 12, "device": "cpu", "precision": "fp32"},
}


def recipe(**changes: Any) -> Any:
    return gankit.Recipe.parse({**RECIPE, **changes})


def test_resuming_keeps_p(tmp_path: Any) -> None:
    runtime = gankit.Runtime()
    chosen = {"augmentations": [{"name": "ada", "target": -0.9, "speed": 200, "interval": 2}]}
    whole = runtime.assemble(recipe(**chosen), tmp_path / "whole")
    whole.fit()
    whole_p = float(whole.context.augmentations[0].adapted)
    assert whole_p > 0.2
    part = runtime.assemble(recipe(**chosen), tmp_path / "part")
    for scalars in part:
        if part.state.step == 5:
            assert "ada_p" in scalars
            break
    resumed = runtime.resume(tmp_path / "part")
    resumed.fit()
    assert float(resumed.context.augmentations[0].adapted) == whole_p
    for one, other in zip(whole.state.generator.parameters(), resumed.state.generator.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_scheduled_p() -> None:
    schedule = {"start": 0, "end": 0.5, "over_images": 40}
    runtime = gankit.Runtime()
    trainer = runtime.assemble(recipe(augmentations=[{"name": "ada", "target": None, "p": schedule}]))
    assert [round(float(trainer.step()["ada_p"]), 6) for _ in range(7)] == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.5]
    message = "target: p is scheduled, but is also adapted to target 0.6; set target: null, or p to a number"
    for wrong in (
        {"augmentations": [{"name": "ada", "p": schedule}]},
        {"train": RECIPE["train"] | {"game": {"name": "apa", "p": schedule}}},
    ):
        with pytest.raises(gankit.RecipeError, match=message):
            runtime.check(recipe(**wrong))


@pytest.mark.parametrize("more", [{"microbatch": 3}, {"precision": "bf16"}, {"precision": "fp64"}], ids=str)
def test_a_run_with_penalties(more: Any) -> None:
    trainer = gankit.Runtime().assemble(
        recipe(
            train={**RECIPE["train"], **more},
            augmentations=[{"name": "ada", "p": 0.8, "policy": POLICIES}],
            regularizers=[{"name": "r1", "interval": 2}, {"name": "gradient_penalty"}],
        )
    )
    for _ in range(3):
        assert all(value.isfinite() for value in trainer.step().values())


def test_schema() -> None:
    registries = gankit.Registries()
    gankit_augment.register(registries)
    entry = registries.augmentations.get("ada")
    params = entry.schema()
    assert (params.policy, params.p, params.target) == (("blit", "geom", "color"), 0, 0.6)  # type: ignore[attr-defined]
    assert (params.speed, params.interval) == (500_000, 4)  # type: ignore[attr-defined]
    built = entry.build(
        entry.schema.model_validate({"policy": ["cutout"], "target": None, "p": 0.3}), image=gankit.ImageSpec(8, 8, 3)
    )
    assert "cutout; fixed" in repr(built)
    wrong: Any
    for wrong in (
        {"policy": []},
        {"policy": ["colour"]},
        {"p": 1.1},
        {"target": 1},
        {"speed": 0},
        {"share": {"blit": 2}},
    ):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            entry.schema.model_validate(wrong)


def test_contradictory_parameters_are_refused() -> None:
    spec = gankit.ImageSpec(8, 8, 3)
    with pytest.raises(ValueError, match=r"policy \['blit', 'blit'\] has duplicates"):
        ADA(spec, policy=("blit", "blit"))
    with pytest.raises(ValueError, match=r"share names 'color', which policy \['blit'\] lacks"):
        ADA(spec, policy=("blit",), share={"color": 0.5})
