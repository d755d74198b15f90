"""What a turn shows, and what can be drawn and generated in it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import gankit
from gankit.testing import make_turn


def test_a_turn_knows_how_many_images_d_saw_before_the_step(assemble):
    trainer = assemble(regularizers=[{"name": "counter"}], train={"discriminator_steps": 2})
    for _ in range(2):
        trainer.step()
    assert trainer.context.regularizers["counter"].turns == [0, 0, 16, 16]


@pytest.mark.parametrize("fresh", [False, True])
def test_latents_are_those_of_the_fakes_with_many_heads(with_follower, fresh):
    made = {"discriminator": {"name": "plain", "heads": 3}, "train": {"fresh_fakes": fresh, "discriminator_steps": 2}}
    trainer = with_follower(**made)
    g = copy.deepcopy(trainer.state.generator)
    trainer.step()
    for turn in trainer.context.loss.turns[:2]:
        assert torch.allclose(turn.fake, g(turn.latents), atol=1e-6)


def test_uniform_draws_new_numbers_in_every_call():
    turn = make_turn("discriminator", lambda z: z[:, :3, None, None], lambda images: images.mean(), torch.zeros(5, 3, 1, 1))
    first, second = turn.uniform(4), turn.uniform(4)
    assert first.shape == second.shape == (5, 4)
    assert not torch.equal(first, second)


def test_one_process_gathers_its_own_rows_without_gradient():
    turn = make_turn("generator", lambda z: z[:, :3, None, None], lambda images: images.mean(), torch.zeros(5, 3, 1, 1))
    rows = torch.randn(5, 2, requires_grad=True)
    gathered = turn.gather(rows)
    assert torch.equal(gathered, rows)
    assert not gathered.requires_grad


def test_more_images_than_a_batch_can_be_generated(assemble):
    class Many:
        interval = 1

        def generator(self, turn):
            assert turn.generate(count=20).shape[0] == 20
            assert turn.generate(turn.latents.repeat(2, 1)).shape[0] == 16
            return turn.fake.mean()

    trainer = assemble(conditional=True, generator={"name": "dcgan", "width": 4})
    trainer.context.regularizers["many"] = Many()
    trainer.step()


def test_latents_can_be_drawn_without_generating_images(assemble):
    drawn: list[int] = []

    class Drawn:
        interval = 2

        def generator(self, turn):
            z = [turn.draw_latents(), turn.draw_latents(3), turn.draw_latents(20)]
            assert [len(each) for each in z] == [8, 3, 20]
            assert not torch.equal(z[0][:3], z[1])
            drawn.append(len(trainer.context.latent.drawn))
            return turn.generate(z[1]).mean()

    trainer = assemble(conditional=True, generator={"name": "dcgan", "width": 4})
    trainer.context.regularizers["drawn"] = Drawn()
    assert "drawn" in trainer.step()
    assert drawn == [1 + 3], "the fakes of the step, and the three draws of the regularizer"
    assert len(trainer.context.latent.drawn) == 4


def test_more_images_than_labels_repeat_the_labels(assemble, add_components):
    seen: list[list[int]] = []

    class Labelled(nn.Module):
        def __init__(self, image, latent_dim):
            super().__init__()
            self.image, self.linear = image, nn.Linear(latent_dim, image.channels * image.height * image.width)

        def forward(self, z, labels=None):
            seen.append(labels.tolist())
            return self.linear(z).view(-1, self.image.channels, self.image.height, self.image.width)

    class Many:
        interval = 1

        def generator(self, turn):
            return turn.generate(count=20).mean()

    runtime, recipe = assemble.runtime, assemble.recipe
    add_components(runtime, generators={"labelled": Labelled}, regularizers={"many": Many})
    changes = {"generator": {"name": "labelled"}, "discriminator": {"name": "plain"}, "regularizers": ["many"]}
    trainer = runtime.assemble(recipe(conditional=True, **changes))
    labels = trainer.setup.loader.at(0, 8).labels.tolist()
    assert len(set(labels)) > 1
    seen.clear()  # the dry run has called the generator
    trainer.step()
    assert seen[0] == labels
    assert seen[-1] == [*labels, *labels, *labels[:4]]


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize(
    ("changes", "sizes"),
    [
        ({"discriminator": {"name": "plain"}}, [16, 8]),
        ({"discriminator": {"name": "plain", "heads": 3}, "loss": "bce", "train": {"discriminator_steps": 2}}, [16, 16, 8]),
        ({"discriminator": {"name": "resnet", "width": 4, "spectral_norm": False}, "conditional": True, "train": {"microbatch": 4}}, [8, 8, 4, 4]),
        ({"discriminator": {"name": "plain"}, "regularizers": [{"name": "r1"}]}, [8, 8, 8]),
        ({"discriminator": {"name": "plain"}, "regularizers": [{"name": "r1", "interval": 2}]}, [16, 8, 8]),
    ],
    ids=["plain", "heads", "labels and microbatches", "penalties", "lazy penalties"],
)
def test_one_pass_of_d_on_both_batches(assemble, monkeypatch, changes, sizes, compile):
    """Without batch statistics and spectral norm, D's outputs are those of two passes."""
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    sgd = {"name": "sgd", "lr": 0.01}
    changes = {"optimizers": {"generator": sgd, "discriminator": sgd}, **changes}
    one, two = (
        assemble(**{**changes, "train": {**changes.get("train", {}), "joint_pass": joint, "compile": compile and joint}})
        for joint in (True, False)
    )
    seen = []
    one.state.discriminator.register_forward_hook(lambda network, inputs, output: seen.append(len(inputs[0])))
    scalars, expected = one.step(), two.step()
    assert sorted(seen, reverse=True) == sizes
    assert {name: float(value) for name, value in scalars.items()} == pytest.approx({name: float(value) for name, value in expected.items()}, rel=1e-4)
    for player in ("generator", "discriminator"):
        for parameter, other in zip(one.state.players[player].parameters(), two.state.players[player].parameters(), strict=True):
            torch.testing.assert_close(parameter, other)


class LogitsFirst:
    """A penalty that looks at the logits, and only then takes the gradient."""

    interval = 1

    def discriminator(self, turn):
        return (turn.real_logits - turn.fake_logits).square().mean() + turn.gradient(turn.real).square().sum()


class OwnTerms(gankit.Adversarial):
    """A game with terms of its own."""

    def terms(self, turn):
        return {"own": self.loss(turn) + LogitsFirst().discriminator(turn) * (turn.player == "discriminator")}


@pytest.mark.parametrize("changes", [{"regularizers": [{"name": "logits_first"}]}, {"train": {"game": {"name": "own_terms"}}}])
def test_one_pass_of_d_may_be_differentiated_by_its_images(assemble, add_components, changes):
    add_components(assemble.runtime, regularizers={"logits_first": LogitsFirst}, games={"own_terms": OwnTerms})
    sgd = {"name": "sgd", "lr": 0.01}
    changes = {"optimizers": {"generator": sgd, "discriminator": sgd}, "discriminator": {"name": "plain"}, **changes}
    one, two = (assemble(**{**changes, "train": {**changes.get("train", {}), "joint_pass": joint}}) for joint in (True, False))
    seen = []
    one.state.discriminator.register_forward_hook(lambda network, inputs, output: seen.append(len(inputs[0])))
    one.step(), two.step()
    assert seen[0] == 16
    for parameter, other in zip(one.state.discriminator.parameters(), two.state.discriminator.parameters(), strict=True):
        torch.testing.assert_close(parameter, other)


@pytest.mark.parametrize(
    ("regularizer", "train", "sizes"),
    [
        ({"name": "consistency", "weight": 0.1}, {}, [24, 8]),
        ({"name": "consistency", "weight": 0.1, "fake_weight": 0.1}, {}, [24, 8, 8]),
        ({"name": "consistency", "weight": 0.1}, {"microbatch": 4}, [12, 12, 4, 4]),
        ({"name": "consistency", "weight": 0.1, "interval": 2}, {}, [16, 8, 8, 8]),
        ({"name": "consistency", "weight": 0.1}, {"compile": True}, [8, 8, 8, 8]),
    ],
    ids=["one pass", "fakes as well", "microbatches", "lazy", "compiled apart"],
)
@pytest.mark.parametrize("conditional", [False, True])
def test_images_that_a_regularizer_shows_to_d_join_its_pass(assemble, monkeypatch, regularizer, train, sizes, conditional):
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    sgd = {"name": "sgd", "lr": 0.01}
    networks = {"generator": {"name": "dcgan", "width": 4}, "discriminator": {"name": "resnet", "width": 4, "spectral_norm": False}}
    changes = {"optimizers": {"generator": sgd, "discriminator": sgd}, "regularizers": [regularizer], "conditional": conditional, **networks}
    one, two = assemble(**changes, train={**train, "joint_pass": True}), assemble(**changes, train={**train, "compile": False})
    seen = []
    one.state.discriminator.register_forward_hook(lambda network, inputs, output: seen.append(len(inputs[0])))
    scalars, expected = one.step(), two.step()
    assert seen == sizes
    assert {name: float(value) for name, value in scalars.items()} == pytest.approx({name: float(value) for name, value in expected.items()}, rel=1e-4)
    for parameter, other in zip(one.state.discriminator.parameters(), two.state.discriminator.parameters(), strict=True):
        torch.testing.assert_close(parameter, other)


@pytest.mark.parametrize("train", [{"microbatch": 4}, {"joint_pass": True}], ids=str)
def test_d_may_return_values_without_a_batch_axis(assemble, add_components, train):
    class WithScale(nn.Module):
        def __init__(self, image):
            super().__init__()
            self.linear, self.scale = nn.Linear(image.channels * image.height * image.width, 1), nn.Parameter(torch.ones(()))

        def forward(self, images):
            logits = self.linear(images.flatten(1)).flatten() * self.scale
            return {"logits": logits, "scale": self.scale, "name": "mine", "nothing": None}

    add_components(assemble.runtime, discriminators={"with_scale": WithScale})
    trainer = assemble(loss={"name": "follower"}, discriminator={"name": "with_scale"}, train=train)
    trainer.step()
    output = trainer.context.loss.turns[0].real_output
    assert (len(output["logits"]), output["scale"].shape, output["name"], output["nothing"]) == (8, (), "mine", None)
