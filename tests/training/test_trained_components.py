"""Losses and regularizers with parameters of their own, which the optimizer of a player trains."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

import gankit


class Breaks(nn.Module):
    now = False

    def forward(self, x):
        return x * torch.nan if self.now else x


class Projected(nn.Module):
    """A regularizer of G: the size of a trained projection of the fakes. It becomes NaN after some images."""

    def __init__(self, *, player: str | None = "generator", nan_after: int = 1000, lr_scale: float | None = None):
        super().__init__()
        if player is not None:
            self.player = player
        self.nan_after, self.lr_scale = nan_after, lr_scale
        self.projection, self.breaks = nn.Linear(4, 2), Breaks()

    def parameter_groups(self):
        scaled = {} if self.lr_scale is None else {"lr_scale": self.lr_scale}
        return [{"params": self.projection.parameters(), **scaled}]

    def generator(self, turn):
        self.breaks.now = turn.images_seen >= self.nan_after
        return self.breaks(self.projection(turn.fake.flatten(1)[:, :4])).square().mean()


class OfD(nn.Module):
    """A loss with a scale of the logits that D trains, and a frozen weight."""

    player = "discriminator"

    def __init__(self):
        super().__init__()
        self.scale, self.fixed = nn.Parameter(torch.ones(())), nn.Parameter(torch.ones(()), requires_grad=False)
        self.was_frozen = set()

    def discriminator(self, turn):
        return (softplus(-turn.real_logits) + softplus(turn.fake_logits)).mean() * self.scale

    def generator(self, turn):
        self.was_frozen.add(not self.scale.requires_grad)
        return softplus(-turn.fake_logits).mean() * self.scale


class Unsized(nn.Module):
    player = "generator"

    def __init__(self):
        super().__init__()
        self.projection = nn.LazyLinear(2)

    def generator(self, turn):
        return self.projection(turn.fake.flatten(1)).square().mean()


class Alone(gankit.Game):
    players = ("generator",)
    honours = ("regularizers",)

    def step(self):
        return self.update("generator", self.next_batch(), lambda turn: {"fit": (turn.fake - turn.real).square().mean()})


class TrainedLatent(nn.Module):
    player = "generator"

    def __init__(self, dim):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim))

    def sample(self, n, labels, generator):
        return torch.randn(n, len(self.scale), generator=generator) * self.scale


def adam(parameters, *, lr: float = 1e-3, betas: tuple[float, float] = (0.5, 0.9)):
    return torch.optim.Adam(parameters, lr, betas)


class Plants:
    """A callback that sets a weight of the regularizer to NaN, or recovers from what is not finite."""

    def __init__(self, *, plant_at: int | None = None):
        self.plant_at = plant_at

    def on_step_end(self, run):
        if run.not_finite() and self.plant_at is None:
            run.recover(go_on=False)
        if run.state.step == self.plant_at:
            run.state.trained["generator"]["regularizers.projected"].projection.weight.data[0, 1] = torch.nan


@pytest.fixture
def assemble(tiny_runtime, tiny_recipe, add_components, tmp_path):
    """``assemble(**sections)``: a trainer of the tiny recipe, in ``tmp_path / "run"``."""
    regularizers, games = {"projected": Projected, "unsized": Unsized}, {"alone": Alone}
    add_components(tiny_runtime, losses={"of_d": OfD}, regularizers=regularizers, games=games)
    add_components(tiny_runtime, latents={"trained": TrainedLatent}, callbacks={"plants": Plants})
    # the defaults of a recipe without a loss or an optimizer
    add_components(tiny_runtime, losses={"bce": OfD}, optimizers={"adam": adam})

    def make(directory="run", **sections):
        path = tiny_recipe(tmp_path, **{"callbacks": [], **sections})
        return tiny_runtime.assemble(tiny_runtime.load_checked(path), tmp_path / directory)

    make.runtime = tiny_runtime
    return make


def projection(trainer):
    return trainer.state.trained["generator"]["regularizers.projected"].projection


def parameters_of_g(trainer):
    return [p.detach().clone() for module in trainer.state.trained["generator"].values() for p in module.parameters()]


def test_both_players_train_their_components_alone(assemble):
    trainer = assemble(loss="of_d", regularizers=["projected"])
    assert [*trainer.state.trained["generator"]] == ["generator", "regularizers.projected"]
    assert [*trainer.state.trained["discriminator"]] == ["discriminator", "loss"]
    loss, before = trainer.state.trained["discriminator"]["loss"], projection(trainer).weight.detach().clone()
    trainer.step()
    assert loss.scale != 1
    assert loss.fixed == 1
    assert loss.was_frozen == {True}
    assert loss.scale.requires_grad
    assert not torch.equal(projection(trainer).weight, before)


def test_the_gradient_is_that_of_the_term(assemble):
    """Against plain autograd: the update of SGD with a rate of 0.01."""
    trainer = assemble(loss="tiny", regularizers=["projected"])
    fakes = []
    handle = trainer.state.generator.register_forward_hook(lambda module, inputs, output: fakes.append(output.detach()))
    own = projection(trainer)
    weight, bias = (value.detach().clone().requires_grad_() for value in (own.weight, own.bias))
    trainer.step()
    handle.remove()
    value = nn.functional.linear(fakes[-1].flatten(1)[:, :4], weight, bias).square().mean()
    for now, then, gradient in zip((own.weight, own.bias), (weight, bias), torch.autograd.grad(value, (weight, bias)), strict=True):
        torch.testing.assert_close(now, then - 0.01 * gradient)


def test_clipping_counts_all_parameters_of_the_player(assemble):

    def update(**train):
        still = {"generator": "tiny", "discriminator": {"name": "tiny", "lr": 0.0}}  # or clipped updates of D change G's
        train = {"steps": 3, "device": "cpu", "precision": "fp64", **train}
        trainer = assemble(f"run{len(train)}", regularizers=["projected"], optimizers=still, train=train)
        before = parameters_of_g(trainer)
        trainer.step()
        return torch.cat([(now - then).flatten() for now, then in zip(parameters_of_g(trainer), before, strict=True)])

    free = update()
    limit = float(free.norm()) / 0.01 / 3
    torch.testing.assert_close(update(clip_gradient=limit), free / 3, rtol=1e-4, atol=1e-12)


def test_the_checkpoint_names_its_parameters_and_a_resumed_run_goes_on(assemble, tmp_path):
    adam = {"generator": "adam", "discriminator": "adam"}
    sections = {"loss": "of_d", "regularizers": ["projected"], "optimizers": adam}
    whole = assemble("whole", **sections)
    whole.fit()
    names = whole.state.state_dict()["optimizer_parameters"]
    assert names["generator"][-1] == ["regularizers.projected.projection.weight", "regularizers.projected.projection.bias"]
    assert names["discriminator"][-1] == ["loss.scale"]
    parts = assemble("parts", train={"steps": 2, "device": "cpu", "precision": "fp32"}, **sections)
    parts.fit()
    resumed = assemble.runtime.resume(tmp_path / "parts", ["train.steps=3"])
    assert torch.equal(projection(resumed).weight, projection(parts).weight)
    resumed.fit()
    assert torch.equal(projection(resumed).weight, projection(whole).weight)


def test_a_run_can_gain_and_lose_a_trained_component(assemble, tmp_path):
    assemble("run", train={"steps": 1, "device": "cpu", "precision": "fp32"}).fit()
    with_it = assemble.runtime.resume(tmp_path / "run", ["train.steps=2", "regularizers=[projected]"])
    before = projection(with_it).weight.detach().clone()
    with_it.fit()
    assert not torch.equal(projection(with_it).weight, before)
    without = assemble.runtime.resume(tmp_path / "run", ["train.steps=3", "regularizers=[]"])
    without.fit()
    assert [*without.state.trained["generator"]] == ["generator"]


def test_its_parameter_groups_are_those_of_the_optimizer(assemble):
    trainer = assemble(regularizers=[{"name": "projected", "lr_scale": 0.5}])
    trainer.step()
    assert [group["lr"] for group in trainer.state.optimizers["generator"].param_groups] == [0.01, 0.005]


def test_nan_in_its_weights_is_found_and_not_saved(assemble, events, tmp_path):
    trainer = assemble(regularizers=["projected"], callbacks=[{"name": "plants", "plant_at": 3}])
    trainer.fit()
    assert trainer.checkpoints == []
    [event] = events(tmp_path / "run", "not_saved")
    assert "regularizers.projected projection.weight is NaN or infinite" in str(event)
    trainer = assemble("again", regularizers=["projected"], callbacks=[{"name": "plants", "plant_at": 1}])
    trainer.fit()
    assert "regularizers.projected projection.weight" in trainer.not_finite().names


def test_nan_is_located_in_its_layers(assemble):
    trainer = assemble(regularizers=[{"name": "projected", "nan_after": 16}], callbacks=["plants"])
    with pytest.raises(gankit.GankitError, match=re.escape("in step 3, the output of regularizers.projected breaks (Breaks): 16 of 16 values")):
        trainer.fit()


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"regularizers": [{"name": "projected", "player": None}]}, "regularizers.0: Projected: no optimizer would train its parameter 'projection.weight': move it into the generator or the discriminator, name the player that trains it (player = 'generator'), or freeze it (requires_grad_(False))"),
        ({"regularizers": [{"name": "projected", "player": "critic"}]}, "regularizers.0: Projected.player, which trains its parameters, is 'critic'; it can be 'generator' or 'discriminator'"),
        ({"regularizers": [{"name": "projected", "player": "discriminator"}], "train": {"steps": 1, "device": "cpu", "game": "alone"}, "loss": None, "discriminator": None, "optimizers": {"generator": "tiny"}}, "is 'discriminator'; it can be 'generator' alone, because this game has no discriminator"),
        ({"regularizers": ["unsized"]}, "regularizers.0: Unsized: its parameter 'projection.weight' has no shape yet: give its layer a size"),
        ({"latent": {"name": "trained", "dim": 4}}, "latent: TrainedLatent: no optimizer would train its parameter 'scale': move it into the generator or the discriminator, or freeze it"),
    ],
)  # fmt: skip
def test_what_no_player_trains_is_refused(assemble, sections, message):
    with pytest.raises(gankit.RecipeError, match=re.escape(message)):
        assemble(**sections)


def test_a_game_of_one_player_trains_its_regularizer(assemble):
    train = {"steps": 1, "device": "cpu", "game": "alone"}
    sections = {"loss": None, "discriminator": None, "optimizers": {"generator": "tiny"}, "train": train}
    trainer = assemble(regularizers=["projected"], **sections)
    assert [*trainer.state.trained["generator"]] == ["generator", "regularizers.projected"]
    trainer.step()
