"""``after``: who is called, what it sees, and where its figures go."""

from __future__ import annotations

import copy

import torch
from torch import nn


def test_after_is_called_on_every_kind_of_component(assemble):
    trainer = assemble(regularizers=[{"name": "counter"}], augmentations=[{"name": "doubling"}])
    context = trainer.context
    kinds = {
        "loss": context.loss,
        "regularizer": context.regularizers["counter"],
        "augmentation": context.augmentations[0],
        "latent": context.latent,
        "generator": context.generator,
        "discriminator": context.discriminator,
        "game": context.game,
    }
    called = []
    for kind, component in kinds.items():
        component.after = lambda turn, kind=kind: called.append((turn.player, kind))
    trainer.step()
    assert called == [(player, kind) for player in ("discriminator", "generator") for kind in kinds]


def test_a_submodule_called_after_is_not_called(assemble):
    trainer = assemble()
    trainer.context.generator.after = nn.Linear(2, 2)
    trainer.context.loss.after = 3
    assert "generator_loss" in trainer.step()


def test_after_sees_the_whole_turn_where_it_was_played_in_parts(with_follower):
    trainer = with_follower(train={"microbatch": 3, "precision": "fp64"}, conditional=True)
    d = copy.deepcopy(trainer.state.discriminator)
    trainer.step()
    turn = trainer.context.loss.turns[0]
    batch = trainer.setup.loader.at(0, 8)
    assert torch.equal(turn.real, batch.images)
    assert torch.equal(turn.labels, batch.labels)
    assert torch.allclose(turn.real_logits, d(batch.images))
    assert len(turn.fake) == len(turn.latents) == len(turn.fake_logits) == 8
    assert torch.allclose(turn.fake_logits, d(turn.fake))


def test_figures_of_after_join_the_steps(with_follower, monkeypatch):
    trainer = with_follower()
    assert "follower" not in trainer.step()
    monkeypatch.setattr(
        type(trainer.context.loss), "after", lambda self, turn: {f"{turn.player}_follower": turn.fake.mean().view(1)}
    )
    scalars = trainer.step()
    for player in ("discriminator", "generator"):
        assert scalars[f"{player}_follower"].shape == ()
        assert not scalars[f"{player}_follower"].requires_grad
