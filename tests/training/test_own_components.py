"""A generator, losses and a game of a test's own, in a run."""

from __future__ import annotations

import pytest
import torch

import gankit


class Fading(torch.nn.Module):
    """A generator with a scheduled parameter, and a weight of five dimensions."""

    def __init__(self, image, latent_dim, *, fade: gankit.Scheduled = 0.0):
        super().__init__()
        self.image, self.fade = image, fade
        self.weight = torch.nn.Parameter(torch.zeros(1, 1, 1, 1, latent_dim))

    def forward(self, z, labels=None):
        shape = (len(z), self.image.channels, self.image.height, self.image.width)
        return ((z * self.weight.view(-1)).sum(1) * self.fade).tanh().view(-1, 1, 1, 1).expand(shape)


def test_a_networks_scheduled_parameters_move_and_the_averages_too(runtime, recipe, add_components):
    add_components(runtime, generators={"fading": Fading})
    fade = {"start": 0.0, "end": 1.0, "over_images": 16}
    ema = {"half_life_images": {"start": 0, "end": 100, "over_images": 1000}}
    trainer = runtime.assemble(recipe(generator={"name": "fading", "fade": fade}, ema=ema))
    seen = []
    for _ in range(3):
        trainer.step()
        seen.append((trainer.state.generator.fade, trainer.state.ema.module.fade))
    assert seen == [(0.5, 0.5), (1.0, 1.0), (1.0, 1.0)]  # those of the next step, which samples use as well


class LearningLoss(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def discriminator(self, turn): ...

    generator = discriminator


class HalfState:
    def discriminator(self, turn):
        return turn.fake.mean()

    generator = discriminator

    def state_dict(self): ...


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (LearningLoss, "loss: LearningLoss: no optimizer would train its parameter 'weight': move it into"),
        (
            HalfState,
            "loss: HalfState: has only state_dict; a state in checkpoints needs state_dict and load_state_dict",
        ),
    ],
)
def test_what_would_be_silently_lost_is_refused(runtime, recipe, add_components, loss, message):
    add_components(runtime, losses={"odd": loss})
    with pytest.raises(gankit.RecipeError, match=message):
        runtime.assemble(recipe(loss={"name": "odd"}))


class Greedy(gankit.Game):
    """A game of its own, which takes two batches a step, and fails when told to."""

    fails = False

    def step(self):
        reals = [self.next_batch(), self.next_batch()]
        if self.fails:
            raise ZeroDivisionError
        with gankit.frozen(self.generator):
            return self.update("discriminator", reals[0]) | {"sum": reals[1].images.sum()}


def test_a_game_of_its_own_trains_as_many_images_as_it_is_told(runtime, recipe, add_components, tmp_path):
    add_components(runtime, games={"greedy": Greedy})
    made = recipe(train={"steps": None, "epochs": 2, "game": {"name": "greedy"}})
    trainer = runtime.assemble(made, tmp_path / "run")
    trainer.fit()
    assert (trainer.state.step, trainer.state.images, trainer.epoch) == (6, 96, 1)


def test_a_failed_step_can_be_played_again(runtime, recipe, add_components):
    add_components(runtime, games={"greedy": Greedy})
    made = recipe(train={"game": {"name": "greedy"}})
    expected = runtime.assemble(made).step()["sum"]
    trainer = runtime.assemble(made)
    trainer.setup.context.game.fails = True
    with pytest.raises(ZeroDivisionError):
        trainer.step()
    trainer.setup.context.game.fails = False
    assert torch.equal(trainer.step()["sum"], expected)
