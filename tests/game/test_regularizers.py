"""When a regularizer is due, how much it weighs, and what it sees."""

from __future__ import annotations

import pytest
import torch


def test_a_regularizer_of_interval_one_joins_the_loss(assemble):
    plain, with_it = assemble(), assemble(regularizers=[{"name": "counter"}])
    bias = float(with_it.state.discriminator.out.bias.detach())
    for trainer in (plain, with_it):
        trainer.state.optimizers["discriminator"] = torch.optim.SGD(trainer.state.discriminator.parameters(), lr=0.5)
        trainer.setup.schedules = []
        scalars = trainer.step()
    difference = with_it.state.discriminator.out.bias - plain.state.discriminator.out.bias
    assert float(difference.detach()) == pytest.approx(-0.5, abs=1e-6)
    assert float(scalars["counter"]) == pytest.approx(bias, abs=1e-6), "the value before the update is reported"


def test_a_lazy_regularizer_takes_its_own_step_times_the_interval(assemble):
    plain = assemble()
    lazy = assemble(regularizers=[{"name": "counter", "interval": 3}], train={"steps": 6})
    for trainer in (plain, lazy):
        trainer.state.optimizers["discriminator"] = torch.optim.SGD(trainer.state.discriminator.parameters(), lr=0.5)
        trainer.setup.schedules = []
        trainer.step()
    difference = lazy.state.discriminator.out.bias - plain.state.discriminator.out.bias
    assert float(difference.detach()) == pytest.approx(-1.5, abs=1e-6)
    reported = ["counter" in lazy.step() for _ in range(5)]
    assert reported == [False, False, True, False, False], "due in D's turns 0, 3, 6, ..."


def test_leaves_are_made_only_when_a_penalty_is_due(assemble):
    trainer = assemble(loss={"name": "probe"}, regularizers=[{"name": "both"}])
    trainer.step()
    assert trainer.context.loss.seen[0] == ("discriminator", False, False, True)
    assert trainer.context.regularizers["both"].calls == [("discriminator", True, True), ("generator", False, True)]
    figures = {"discriminator_loss", "generator_loss", "real_logits", "fake_logits"}
    assert set(trainer.step()) == figures | {"discriminator_both", "generator_both"}


def test_a_lazy_penalty_of_the_discriminator_sees_the_fakes_of_its_turn(assemble):
    class Remembering:
        def __init__(self) -> None:
            self.fakes: list[torch.Tensor] = []

        def discriminator(self, turn):
            self.fakes.append(turn.fake.detach().clone())
            return turn.fake_logits.mean() - turn.real_logits.mean()

        def generator(self, turn):
            return -turn.fake_logits.mean()

    class Lazy:
        interval = 2

        def __init__(self) -> None:
            self.fakes: list[torch.Tensor] = []

        def discriminator(self, turn):
            self.fakes.append(turn.fake.detach().clone())
            return turn.gradient(turn.fake).square().sum()

    trainer = assemble()
    trainer.context.loss, lazy = Remembering(), Lazy()
    trainer.context.regularizers["lazy"] = lazy
    trainer.step()
    assert torch.equal(lazy.fakes[0], trainer.context.loss.fakes[0])
    assert len(trainer.context.latent.drawn) == 1


def test_penalties_in_bf16_are_those_in_fp32(assemble):
    values = []
    for precision in ("fp32", "bf16"):
        trainer = assemble(train={"precision": precision}, regularizers=[{"name": "r1"}, {"name": "gradient_penalty"}])
        scalars = trainer.step()
        values.append([float(scalars["r1"]), float(scalars["gradient_penalty"])])
    assert values[1] == pytest.approx(values[0], rel=0.05)
