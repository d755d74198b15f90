"""The rules of a step: who sees what, what is frozen, and what microbatches and precision leave as it is."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import gankit
from gankit.game.freezing import frozen


def test_what_each_player_sees(assemble):
    trainer = assemble(loss={"name": "probe"}, train={"discriminator_steps": 2})
    trainer.step()
    assert trainer.context.loss.seen == [
        ("discriminator", False, False, False),
        ("discriminator", False, False, False),
        ("generator", True, True, False),
    ]
    assert all(p.requires_grad for p in trainer.state.discriminator.parameters())
    assert trainer.state.images == 16
    assert trainer.state.turns == {"discriminator": 2, "generator": 1}


@pytest.mark.parametrize(("fresh", "draws"), [(False, 1), (True, 2)])
def test_fresh_fakes_draws_anew_for_the_generator(assemble, fresh, draws):
    trainer = assemble(train={"fresh_fakes": fresh})
    trainer.step()
    assert len(trainer.context.latent.drawn) == draws


def test_the_augmentation_stands_before_all_that_d_sees(assemble):
    trainer = assemble(augmentations=[{"name": "doubling"}, {"name": "doubling"}], loss={"name": "probe"})
    d = copy.deepcopy(trainer.state.discriminator)
    scalars = trainer.step()
    expected = d(trainer.setup.loader.at(0, 8).images * 4).mean()
    assert float(scalars["real_logits"]) == pytest.approx(float(expected.detach()), abs=1e-6)
    assert trainer.context.augmentations[0].afters == ["discriminator", "generator"]


def test_heads_are_lossed_one_by_one_and_summed(assemble):
    trainer = assemble(discriminator={"name": "plain", "heads": 3}, loss={"name": "bce"})
    d, batch = copy.deepcopy(trainer.state.discriminator), trainer.setup.loader.at(0, 8).images
    g = copy.deepcopy(trainer.state.generator)
    scalars = trainer.step()
    fake = g(trainer.context.latent.drawn[0])
    expected = sum(
        nn.functional.softplus(-real).mean() + nn.functional.softplus(made).mean()
        for real, made in zip(d(batch), d(fake), strict=True)
    )
    assert float(scalars["discriminator_loss"]) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_microbatches_add_up_to_the_batch(assemble, runtime, recipe):
    """With one set of latents and no batch statistics, parts of 3, 3 and 2 give the gradient of all 8."""
    outcomes = []
    for size in (None, 3):
        trainer = assemble(train={"microbatch": size, "precision": "fp64", "fresh_fakes": True})
        latent = trainer.context.latent
        fixed = torch.randn(8, 8, generator=torch.Generator().manual_seed(5))
        position = [0]

        def sample(n, labels, generator, fixed=fixed, position=position):
            start = position[0]
            position[0] = (start + n) % 8
            return fixed[start : start + n]

        latent.sample = sample
        scalars = trainer.step()
        outcomes.append(
            [*trainer.state.generator.parameters(), *trainer.state.discriminator.parameters(), *scalars.values()]
        )
    for whole, parts in zip(*outcomes, strict=True):
        assert torch.allclose(whole, parts, rtol=0, atol=1e-12)


def test_clipping_bounds_the_gradient(assemble):
    trainer = assemble(train={"clip_gradient": 1e-3})
    trainer.step()
    for network in (trainer.state.generator, trainer.state.discriminator):
        norm = torch.stack([p.grad.norm() for p in network.parameters()]).norm()
        assert float(norm) == pytest.approx(1e-3, rel=1e-2)


def test_losses_and_penalties_compute_in_full_precision(with_follower):
    regularizers = [{"name": "r1"}, {"name": "gradient_penalty"}]
    trainer = with_follower(
        train={"precision": "bf16"}, regularizers=regularizers, augmentations=[{"name": "doubling"}]
    )
    hidden, augmented_in_bf16 = [], []
    trainer.context.augmentations[0].register_forward_hook(
        lambda *_: augmented_in_bf16.append(torch.is_autocast_enabled("cpu"))
    )
    trainer.state.discriminator.hidden.register_forward_hook(lambda module, args, out: hidden.append(out.dtype))
    scalars = trainer.step()
    assert trainer.context.loss.dtype == torch.float32
    assert set(hidden) == {torch.bfloat16}, "the networks do not"
    assert set(augmented_in_bf16) == {False}
    assert all(value.dtype == torch.float32 and bool(value.isfinite()) for value in scalars.values())


def test_frozen_leaves_frozen_parts_frozen():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[0].requires_grad_(False)
    with frozen(network):
        assert not any(p.requires_grad for p in network.parameters())
    assert [p.requires_grad for p in network.parameters()] == [False, False, True, True]


def test_another_game_is_another_component(runtime, recipe, add_components):
    class OnlyG(gankit.Game):
        def __init__(self, *, rounds: int = 1) -> None:
            self.rounds = rounds

        def step(self):
            for _ in range(self.rounds):
                self.next_batch()
            return {"rounds": torch.tensor(float(self.rounds))}

    add_components(runtime, games={"only_g": OnlyG})
    trainer = runtime.assemble(recipe(train={"game": {"name": "only_g", "rounds": 3}}))
    assert float(trainer.step()["rounds"]) == 3
    assert trainer.state.images == 24
