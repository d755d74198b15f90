"""`gankit.Game`: what a game of one's own may do in a step."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gankit

SGD = {"name": "sgd", "lr": 0.1}


class OwnTerms(gankit.Game):
    """Updates each player on a term of its own; adds numbers to the batch."""

    honours = gankit.Game.honours
    teacher = None

    def setup(self):
        assert self.teacher is None, "setup runs once"
        size = self.generator(torch.zeros(1, 5, dtype=torch.float64), None).numel()
        self.teacher = nn.Linear(size, 1, bias=False, dtype=torch.float64)
        nn.init.constant_(self.teacher.weight, 0.01)
        self.seen = []

    def step(self):
        batch = self.next_batch()
        batch = batch.replace(number=torch.arange(len(batch.images)))
        scalars = self.update("discriminator", batch, self.of_d)
        return scalars | self.update("generator", batch, self.of_g)

    def of_d(self, turn):
        self.seen.append((turn["number"], turn.normal(2), turn.uniform(3)))
        return {"d": (turn.fake_logits - turn.real_logits).mean(), **self.terms(turn)}

    def of_g(self, turn):
        taught = turn.run(self.teacher, turn.fake.flatten(1))
        assert taught.dtype == turn.fake.dtype
        return {"g": taught.square().mean()}


class OwnTermsThroughout(OwnTerms):
    """The same by overriding ``terms``."""

    def step(self):
        batch = self.next_batch()
        batch = batch.replace(number=torch.arange(len(batch.images)))
        return self.update("discriminator", batch) | self.update("generator", batch)

    def terms(self, turn):
        if turn.player == "generator":
            return self.of_g(turn)
        self.seen.append((turn["number"], turn.normal(2), turn.uniform(3)))
        return {"d": (turn.fake_logits - turn.real_logits).mean(), **super().terms(turn)}


class Early(gankit.Game):
    def setup(self):
        self.next_batch()

    def step(self):
        return {}


class Games:
    @gankit.hookimpl
    def register(self, registries):
        for name, game in (("own", OwnTerms), ("throughout", OwnTermsThroughout), ("early", Early)):
            registries.games.add(name, game)


@pytest.fixture
def train(assemble):
    """``train(game, **train keys)``: the trainer of a conditional run after two steps."""
    assemble.runtime.load_plugin(Games())

    def run(game, regularizers=(), **keys):
        trainer = assemble(
            optimizers={"generator": SGD, "discriminator": SGD},
            latent={"name": "normal", "dim": 5},
            regularizers=[*regularizers],
            train={"game": game, "precision": "fp64", **keys},
        )
        run.scalars = [trainer.step(), trainer.step()]
        return trainer

    return run


def parameters(trainer):
    networks = trainer.state.generator, trainer.state.discriminator
    return torch.cat([p.detach().flatten() for network in networks for p in network.parameters()])


def test_terms_replace_those_of_the_recipe_where_they_are_given(train):
    trainer = train("own")
    assert {"d", "discriminator_loss", "g", "real_logits"} <= set(train.scalars[0])
    assert "generator_loss" not in train.scalars[0]
    assert trainer.state.turns == {"discriminator": 2, "generator": 2}
    assert torch.equal(parameters(trainer), parameters(train("throughout")))


def test_lazy_regularizers_run_all_the_same(train):
    train("own", regularizers=[{"name": "counter", "interval": 2}])
    assert "counter" in train.scalars[0]
    assert "counter" not in train.scalars[1]


def test_numbers_of_an_image_do_not_depend_on_microbatches(train):
    whole, parts = train("own"), train("own", microbatch=3)
    torch.testing.assert_close(parameters(whole), parameters(parts), rtol=0, atol=1e-12)
    for kind in range(3):
        in_parts = torch.cat([part[kind] for part in parts.context.game.seen[:3]])
        assert torch.equal(whole.context.game.seen[0][kind], in_parts)
    numbers = whole.context.game.seen[0][1]
    assert numbers.shape == (8, 2)
    assert numbers.unique().numel() == 16


def test_services_of_a_run_outside_of_it_are_refused_in_a_sentence(train):
    with pytest.raises(gankit.GankitError, match="Early.next_batch.. is available in step.. only"):
        train("early")
    for name in ("generator", "state"):
        with pytest.raises(gankit.GankitError, match="OwnTerms is not part of a run yet; use `setup`"):
            getattr(OwnTerms(), name)


def test_other_networks_run_with_the_precision_of_the_run(assemble):
    class Sees(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.dtypes = nn.Linear(3 * 8 * 8, 2), []

        def forward(self, x):
            self.dtypes.append(self.linear(x).dtype)
            return {"out": [self.linear(x)], "count": torch.arange(2)}

    seen, outputs = Sees(), []

    class Runs:
        def generator(self, turn):
            outputs.append(turn.run(seen, turn.fake.flatten(1)))
            return outputs[-1]["out"][0].mean()

    class Plugin:
        @gankit.hookimpl
        def register(self, registries):
            registries.regularizers.add("runs", Runs)

    assemble.runtime.load_plugin(Plugin())
    trainer = assemble(regularizers=["runs"], train={"precision": "bf16"})
    seen.linear = nn.Linear(trainer.setup.image.channels * trainer.setup.image.height * trainer.setup.image.width, 2)
    trainer.step()
    assert seen.dtypes == [torch.bfloat16]
    assert outputs[0]["out"][0].dtype == torch.float32
    assert outputs[0]["count"].dtype == torch.int64
