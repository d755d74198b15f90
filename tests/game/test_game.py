"""The rules of a step: who sees what, what is frozen, and when a regularizer is due."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import gankit
from gankit.game.freezing import frozen
from gankit.testing import make_turn


class Probe:
    """A loss that notes what a turn looks like."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bool, bool, bool]] = []

    def discriminator(self, turn):
        self._note(turn)
        return turn.fake_logits.mean() - turn.real_logits.mean()

    def generator(self, turn):
        self._note(turn)
        return -turn.fake_logits.mean()

    def _note(self, turn):
        frozen_d = not any(p.requires_grad for p in turn.discriminator.parameters())
        self.seen.append((turn.player, turn.fake.grad_fn is not None, frozen_d, turn.real.requires_grad))


class Counter:
    """A regularizer whose gradient is known: it pulls one weight by 1."""

    def __init__(self, *, interval: int = 1) -> None:
        self.interval, self.turns = interval, []

    def discriminator(self, turn):
        self.turns.append(turn.images_seen)
        return turn.discriminator.out.bias.sum()


class BothSides:
    """Due in both players' turns; notes which images require gradients."""

    def __init__(self, *, interval: int = 1) -> None:
        self.interval, self.calls = interval, []

    def discriminator(self, turn):
        self.calls.append(("discriminator", turn.real.requires_grad, turn.fake.requires_grad))
        return turn.gradient(turn.real).square().sum()

    def generator(self, turn):
        self.calls.append(("generator", turn.real.requires_grad, turn.fake.requires_grad))
        return turn.generate(count=2).square().mean()


class Doubling(nn.Module):
    """An augmentation with a known derivative."""

    def __init__(self, image):
        super().__init__()
        self.afters: list[str] = []

    def forward(self, images):
        return images * 2

    def after(self, turn):
        assert not torch.is_grad_enabled()
        self.afters.append(turn.player)


class Parts:
    @gankit.hookimpl
    def register(self, registries):
        registries.losses.add("probe", Probe)
        registries.regularizers.add("counter", Counter)
        registries.regularizers.add("both", BothSides)
        registries.augmentations.add("doubling", Doubling)


@pytest.fixture
def assemble(runtime, recipe):
    runtime.load_plugin(Parts())

    def make(**changes):
        plain = {"generator": {"name": "plain"}, "discriminator": {"name": "plain"}}
        return runtime.assemble(recipe(**(plain | changes)))

    make.runtime, make.recipe = runtime, recipe
    return make


def test_what_each_player_sees(assemble):
    trainer = assemble(loss={"name": "probe"}, train={"discriminator_steps": 2})
    trainer.step()
    assert trainer.game.loss.seen == [
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
    assert len(trainer.game.latent.drawn) == draws


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
    plain, lazy = assemble(), assemble(regularizers=[{"name": "counter", "interval": 3}])
    for trainer in (plain, lazy):
        trainer.state.optimizers["discriminator"] = torch.optim.SGD(trainer.state.discriminator.parameters(), lr=0.5)
        trainer.setup.schedules = []
        trainer.step()
    difference = lazy.state.discriminator.out.bias - plain.state.discriminator.out.bias
    assert float(difference.detach()) == pytest.approx(-1.5, abs=1e-6)
    reported = ["counter" in lazy.step() for _ in range(5)]
    assert reported == [False, False, True, False, False], "due in D's turns 0, 3, 6, ..."


def test_a_turn_knows_how_many_images_d_saw_before_the_step(assemble):
    trainer = assemble(regularizers=[{"name": "counter"}], train={"discriminator_steps": 2})
    for _ in range(2):
        trainer.step()
    assert trainer.game.regularizers["counter"].turns == [0, 0, 16, 16]


def test_uniform_draws_new_numbers_in_every_call():
    turn = make_turn("discriminator", lambda z: z[:, :3, None, None], lambda images: images.mean(), torch.zeros(5, 3, 1, 1))
    first, second = turn.uniform(4), turn.uniform(4)
    assert first.shape == second.shape == (5, 4)
    assert not torch.equal(first, second)


def test_after_is_called_on_every_kind_of_component(assemble):
    trainer = assemble(regularizers=[{"name": "counter"}], augmentations=[{"name": "doubling"}])
    game = trainer.game
    kinds = {
        "loss": game.loss,
        "regularizer": game.regularizers["counter"],
        "augmentation": game.augmentations[0],
        "latent": game.latent,
        "generator": game.generator,
        "discriminator": game.discriminator,
        "game": game.rules,
    }
    called = []
    for kind, component in kinds.items():
        component.after = lambda turn, kind=kind: called.append((turn.player, kind))
    trainer.step()
    assert called == [(player, kind) for player in ("discriminator", "generator") for kind in kinds]


def test_leaves_are_made_only_when_a_penalty_is_due(assemble):
    trainer = assemble(loss={"name": "probe"}, regularizers=[{"name": "both"}])
    trainer.step()
    assert trainer.game.loss.seen[0] == ("discriminator", False, False, True)
    assert trainer.game.regularizers["both"].calls == [("discriminator", True, True), ("generator", False, True)]
    figures = {"discriminator_loss", "generator_loss", "real_logits", "fake_logits"}
    assert set(trainer.step()) == figures | {"discriminator_both", "generator_both"}


def test_the_augmentation_stands_before_all_that_d_sees(assemble):
    trainer = assemble(augmentations=[{"name": "doubling"}, {"name": "doubling"}], loss={"name": "probe"})
    d = copy.deepcopy(trainer.state.discriminator)
    scalars = trainer.step()
    expected = d(trainer.setup.loader.at(0, 8).images * 4).mean()
    assert float(scalars["real_logits"]) == pytest.approx(float(expected.detach()), abs=1e-6)
    assert trainer.game.augmentations[0].afters == ["discriminator", "generator"]


def test_heads_are_lossed_one_by_one_and_summed(assemble):
    trainer = assemble(discriminator={"name": "plain", "heads": 3}, loss={"name": "bce"})
    d, batch = copy.deepcopy(trainer.state.discriminator), trainer.setup.loader.at(0, 8).images
    g = copy.deepcopy(trainer.state.generator)
    scalars = trainer.step()
    fake = g(trainer.game.latent.drawn[0])
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
        latent = trainer.game.latent
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


def test_frozen_leaves_frozen_parts_frozen():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[0].requires_grad_(False)
    with frozen(network):
        assert not any(p.requires_grad for p in network.parameters())
    assert [p.requires_grad for p in network.parameters()] == [False, False, True, True]


def test_another_game_is_another_component(runtime, recipe):
    class OnlyG:
        def __init__(self, *, rounds: int = 1) -> None:
            self.rounds = rounds

        def step(self, game, batches, state):
            for _ in range(self.rounds):
                next(batches)
            return {"rounds": torch.tensor(float(self.rounds))}

    class Rules:
        @gankit.hookimpl
        def register(self, registries):
            registries.games.add("only_g", OnlyG)

    runtime.load_plugin(Rules())
    trainer = runtime.assemble(recipe(train={"game": {"name": "only_g", "rounds": 3}}))
    assert float(trainer.step()["rounds"]) == 3
    assert trainer.state.images == 24


class Follower:
    """A loss that remembers what ``after`` was shown."""

    def __init__(self) -> None:
        self.turns = []

    def discriminator(self, turn):
        return (turn.fake_logits - turn.real_logits).mean()

    def generator(self, turn):
        self.dtype = (turn.fake.flatten(1) @ turn.fake.flatten(1).T).dtype
        return -turn.fake_logits.mean()

    def after(self, turn):
        self.turns.append(turn)


@pytest.fixture
def with_follower(runtime, assemble):
    class Plugin:
        @gankit.hookimpl
        def register(self, registries):
            registries.losses.add("follower", Follower)

    runtime.load_plugin(Plugin())
    return lambda **changes: assemble(loss={"name": "follower"}, **changes)


def test_after_sees_the_whole_turn_where_it_was_played_in_parts(with_follower):
    trainer = with_follower(train={"microbatch": 3, "precision": "fp64"}, conditional=True)
    d = copy.deepcopy(trainer.state.discriminator)
    trainer.step()
    turn = trainer.game.loss.turns[0]
    batch = trainer.setup.loader.at(0, 8)
    assert torch.equal(turn.real, batch.images)
    assert torch.equal(turn.labels, batch.labels)
    assert torch.allclose(turn.real_logits, d(batch.images))
    assert len(turn.fake) == len(turn.latents) == len(turn.fake_logits) == 8
    assert torch.allclose(turn.fake_logits, d(turn.fake))


def test_figures_of_after_join_the_steps(with_follower, monkeypatch):
    trainer = with_follower()
    assert "follower" not in trainer.step()
    monkeypatch.setattr(Follower, "after", lambda self, turn: {f"{turn.player}_follower": turn.fake.mean()})
    scalars = trainer.step()
    for player in ("discriminator", "generator"):
        assert scalars[f"{player}_follower"].shape == ()
        assert not scalars[f"{player}_follower"].requires_grad


@pytest.mark.parametrize("fresh", [False, True])
def test_latents_are_those_of_the_fakes_with_many_heads(with_follower, fresh):
    made = {"discriminator": {"name": "plain", "heads": 3}, "train": {"fresh_fakes": fresh, "discriminator_steps": 2}}
    trainer = with_follower(**made)
    g = copy.deepcopy(trainer.state.generator)
    trainer.step()
    for turn in trainer.game.loss.turns[:2]:
        assert torch.allclose(turn.fake, g(turn.latents), atol=1e-6)


def test_losses_and_penalties_compute_in_full_precision(with_follower):
    regularizers = [{"name": "r1"}, {"name": "gradient_penalty"}]
    trainer = with_follower(
        train={"precision": "bf16"}, regularizers=regularizers, augmentations=[{"name": "doubling"}]
    )
    hidden, augmented_in_bf16 = [], []
    trainer.game.augmentations[0].register_forward_hook(
        lambda *_: augmented_in_bf16.append(torch.is_autocast_enabled("cpu"))
    )
    trainer.state.discriminator.hidden.register_forward_hook(lambda module, args, out: hidden.append(out.dtype))
    scalars = trainer.step()
    assert trainer.game.loss.dtype == torch.float32
    assert set(hidden) == {torch.bfloat16}, "the networks do not"
    assert set(augmented_in_bf16) == {False}
    assert all(value.dtype == torch.float32 and bool(value.isfinite()) for value in scalars.values())


def test_penalties_in_bf16_are_those_in_fp32(assemble):
    values = []
    for precision in ("fp32", "bf16"):
        trainer = assemble(train={"precision": precision}, regularizers=[{"name": "r1"}, {"name": "gradient_penalty"}])
        scalars = trainer.step()
        values.append([float(scalars["r1"]), float(scalars["gradient_penalty"])])
    assert values[1] == pytest.approx(values[0], rel=0.05)


def test_more_images_than_a_batch_can_be_generated(assemble):
    class Many:
        interval = 1

        def generator(self, turn):
            assert turn.generate(count=20).shape[0] == 20
            assert turn.generate(turn.latents.repeat(2, 1)).shape[0] == 16
            return turn.fake.mean()

    trainer = assemble(conditional=True, generator={"name": "dcgan", "width": 4})
    trainer.game.regularizers["many"] = Many()
    trainer.step()


def test_latents_can_be_drawn_without_generating_images(assemble):
    drawn: list[int] = []

    class Drawn:
        interval = 2

        def generator(self, turn):
            z = [turn.draw_latents(), turn.draw_latents(3), turn.draw_latents(20)]
            assert [len(each) for each in z] == [8, 3, 20]
            assert not torch.equal(z[0][:3], z[1])
            drawn.append(len(trainer.game.latent.drawn))
            return turn.generate(z[1]).mean()

    trainer = assemble(conditional=True, generator={"name": "dcgan", "width": 4})
    trainer.game.regularizers["drawn"] = Drawn()
    assert "drawn" in trainer.step()
    assert drawn == [1 + 3], "the fakes of the step, and the three draws of the regularizer"
    assert len(trainer.game.latent.drawn) == 4


def test_more_images_than_labels_repeat_the_labels(assemble):
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

    class Plugin:
        @gankit.hookimpl
        def register(self, registries):
            registries.generators.add("labelled", Labelled)
            registries.regularizers.add("many", Many)

    runtime, recipe = assemble.runtime, assemble.recipe
    runtime.load_plugin(Plugin())
    changes = {"generator": {"name": "labelled"}, "discriminator": {"name": "plain"}, "regularizers": ["many"]}
    trainer = runtime.assemble(recipe(conditional=True, **changes))
    labels = trainer.setup.loader.at(0, 8).labels.tolist()
    assert len(set(labels)) > 1
    seen.clear()  # the dry run has called the generator
    trainer.step()
    assert seen[0] == labels
    assert seen[-1] == [*labels, *labels, *labels[:4]]


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
    trainer.game.loss, lazy = Remembering(), Lazy()
    trainer.game.regularizers["lazy"] = lazy
    trainer.step()
    assert torch.equal(lazy.fakes[0], trainer.game.loss.fakes[0])
    assert len(trainer.game.latent.drawn) == 1
