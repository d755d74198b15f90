"""A run: its length, its callbacks, its directory, and that it meets no other run."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch

import gankit
from gankit.runs.json_lines import JsonLines

CALLBACKS = [{"name": "watcher"}, {"name": "checkpoint", "every": 4}]


def weights(trainer):
    state = trainer.state
    return [value.clone() for network in state.networks().values() for value in network.state_dict().values()]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def watcher(trainer):
    return next(c for c in trainer.callbacks.named.values() if hasattr(c, "calls")).calls


@pytest.mark.parametrize(
    ("length", "steps", "images"),
    [({"steps": 3}, 3, 24), ({"images": 20}, 3, 24), ({"images": 24}, 3, 24), ({"epochs": 2}, 12, 96)],
)
def test_length(runtime, recipe, tmp_path, length, steps, images):
    trainer = runtime.assemble(recipe(train={"steps": None, **length}), tmp_path / "run")
    trainer.fit()
    assert (trainer.state.step, trainer.state.images, trainer.total_steps) == (steps, images, steps)
    assert trainer.finished


def test_discriminator_steps_count_as_images(runtime, recipe, tmp_path):
    trainer = runtime.assemble(recipe(train={"steps": None, "epochs": 2, "discriminator_steps": 2}), tmp_path / "run")
    trainer.fit()
    assert (trainer.state.step, trainer.state.images) == (6, 96)


def test_callbacks_are_called_in_order(runtime, recipe, tmp_path):
    trainer = runtime.assemble(recipe(callbacks=CALLBACKS, train={"steps": 7}), tmp_path / "run")
    trainer.fit()
    assert watcher(trainer) == [
        ("start", 0),
        *(("step", n) for n in (1, 2, 3, 4)),
        ("checkpoint", 4),
        ("step", 5),
        ("step", 6),
        ("epoch", 6),
        ("step", 7),
        ("end: done", 7),
        ("checkpoint", 7),
    ]


def test_a_step_by_hand_calls_nobody(runtime, recipe, tmp_path):
    trainer = runtime.assemble(recipe(callbacks=CALLBACKS), tmp_path / "run")
    trainer.step()
    assert watcher(trainer) == []
    assert not (tmp_path / "run").exists()


def test_iterating_and_fit_are_the_same(runtime, recipe, tmp_path):
    one, two = (runtime.assemble(recipe(callbacks=CALLBACKS), tmp_path / name) for name in "ab")
    yielded = list(one)
    two.fit()
    assert len(yielded) == 4
    assert same(weights(one), weights(two))


def test_leaving_the_loop_early_saves(runtime, recipe, tmp_path):
    trainer = runtime.assemble(recipe(callbacks=CALLBACKS, train={"steps": 9}), tmp_path / "run")
    for _ in trainer:
        if trainer.state.step == 2:
            break
    assert watcher(trainer)[-2:] == [("end: left early", 2), ("checkpoint", 2)]
    assert json.loads((tmp_path / "run/run.json").read_text())["ended"]["reason"] == "left early"


def test_a_failing_callback_is_told_of_and_nothing_broken_is_saved(runtime, recipe, tmp_path):
    trainer = runtime.assemble(recipe(callbacks=CALLBACKS), tmp_path / "run")

    class Broken:
        def on_step_end(self, run):
            raise ZeroDivisionError("oh")

    trainer.callbacks.add("broken", Broken())
    with pytest.raises(ZeroDivisionError):
        trainer.fit()
    assert watcher(trainer)[-1] == ("exception", 1)
    assert trainer.ending == "failed: ZeroDivisionError: oh"
    assert [event["event"] for event in JsonLines.read(tmp_path / "run/events.jsonl")] == ["started", "failed"]
    assert trainer.checkpoint is None


def test_an_unknown_callback_method_is_refused(runtime, recipe):
    class Misspelt:
        def on_step_ends(self, run): ...

    trainer = runtime.assemble(recipe())
    with pytest.raises(gankit.GankitError, match="unknown method 'on_step_ends'; a callback has any of on_run_start"):
        trainer.callbacks.add("misspelt", Misspelt())


def test_nothing_is_overwritten(runtime, recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = []
    for _ in range(3):
        trainer = runtime.assemble(recipe(train={"steps": 1}))
        trainer.fit()
        names.append(str(trainer.directory))
    assert names == ["results/small", "results/small-2", "results/small-3"]
    with pytest.raises(gankit.GankitError, match="exists already and nothing is overwritten"):
        runtime.assemble(recipe(train={"steps": 1}), "results/small").fit()


def test_interleaved_trainers_give_what_each_gives_alone(runtime, recipe, tmp_path):
    """Of two kinds, so that a shared random generator, loader or registry would show."""
    kinds = [recipe(seed=1), recipe(seed=2, conditional=True, loader={"flip": True}, ema={"half_life_images": 50})]
    alone = []
    for kind in kinds:
        trainer = runtime.assemble(kind)
        for _ in range(4):
            trainer.step()
        alone.append(weights(trainer))
    together = [runtime.assemble(kind) for kind in kinds]
    for step in range(4):
        for trainer in together[:: 1 if step % 2 else -1]:
            trainer.step()
            torch.rand(3), np.random.rand(2), random.random()
    assert all(same(weights(trainer), expected) for trainer, expected in zip(together, alone, strict=True))
    assert not same(alone[0][:2], alone[1][:2])


def test_the_hosts_random_state_is_left_alone(runtime, recipe, tmp_path):
    def draw():
        return torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()

    def seed():
        torch.manual_seed(3), np.random.seed(3), random.seed(3)

    seed()
    expected = draw()
    seed()
    trainer = runtime.assemble(recipe(callbacks=[{"name": "sample_images"}, {"name": "loss_curves"}]), tmp_path / "run")
    trainer.fit()
    trainer.sample(4)
    assert draw() == expected


def test_training_in_bf16_and_fp64(runtime, recipe):
    for precision, dtype in (("bf16", torch.float32), ("fp64", torch.float64)):
        trainer = runtime.assemble(recipe(train={"precision": precision}))
        scalars = trainer.step()
        assert all(bool(torch.isfinite(value)) for value in scalars.values())
        assert next(trainer.state.generator.parameters()).dtype == dtype


def test_conditional_labels_reach_everybody(runtime, recipe):
    trainer = runtime.assemble(recipe(conditional=True))
    seen = {}
    for name in ("generator", "discriminator"):
        network = getattr(trainer.state, name)
        network.register_forward_pre_hook(lambda module, args, name=name: seen.update({name: args[1]}))
    trainer.step()
    expected = trainer.setup.loader.at(0, 8).labels
    assert torch.equal(seen["generator"], expected)
    assert torch.equal(seen["discriminator"], expected)
    assert trainer.classes == ("a", "b", "c", "d")
    assert trainer.setup.inputs.frequencies == [0.25] * 4


def test_unconditional_runs_have_no_labels(runtime, recipe):
    trainer = runtime.assemble(recipe())
    assert trainer.setup.loader.at(0, 8).labels is None
    assert trainer.classes is None


def test_scheduled_parameters_follow_the_images(runtime, recipe):
    ramp = {"start": 1.0, "end": 0.0, "over_images": 16}
    adam = {
        "name": "adam",
        "lr": {**ramp, "start": 0.02},
        "betas": [0.0, {"start": 0.9, "end": 0.99, "over_images": 16}],
    }
    made = recipe(optimizers={"discriminator": adam}, regularizers=[{"name": "r1", "gamma": ramp}])
    trainer = runtime.assemble(made)
    seen = []
    for _ in range(3):
        trainer.step()
        group = trainer.state.optimizers["discriminator"].param_groups[0]
        seen.append((trainer.game.regularizers["r1"].gamma, group["lr"], group["betas"]))
    assert seen == [(1.0, 0.02, (0.0, 0.9)), (0.5, 0.01, (0.0, pytest.approx(0.945))), (0.0, 0.0, (0.0, 0.99))]


def test_networks_may_group_their_parameters(runtime, recipe):
    trainer = runtime.assemble(recipe())
    network = trainer.state.generator
    network.parameter_groups = lambda: [
        {"params": list(network.parameters())[:1], "lr_scale": 0.1},
        {"params": list(network.parameters())[1:], "lr": 0.5},
    ]
    from gankit.assembly.optimizers import build_optimizers

    networks = {"generator": network, "discriminator": trainer.state.discriminator}
    optimizers, schedules = build_optimizers(runtime.check(trainer.recipe), networks)
    for schedule in schedules:
        schedule.advance(0)
    assert [group["lr"] for group in optimizers["generator"].param_groups] == [pytest.approx(2e-5), 0.5]


def test_initialize_begins_with_the_weights_of_another_run(runtime, recipe, tmp_path):
    first = runtime.assemble(recipe(callbacks=CALLBACKS), tmp_path / "first")
    first.fit()
    second = runtime.assemble(recipe(seed=9, initialize=str(tmp_path / "first")), tmp_path / "second")
    assert same(weights(second), weights(first))
    assert (second.state.step, second.state.images) == (0, 0)


def test_the_resolved_recipe_runs_again_to_the_same_result(runtime, recipe, tmp_path):
    first = runtime.assemble(recipe(loader={"flip": True}, conditional=True), tmp_path / "first")
    first.fit()
    second = runtime.assemble(gankit.Recipe.load(tmp_path / "first/recipe.yaml"), tmp_path / "second")
    second.fit()
    assert same(weights(first), weights(second))
    assert (tmp_path / "first/recipe.yaml").read_text() == (tmp_path / "second/recipe.yaml").read_text()


@pytest.mark.parametrize(("size", "channels"), [([8, 16], 3), (16, 1), (16, 4), (16, 2)])
def test_any_size_and_channels(runtime, recipe, tmp_path, size, channels):
    class Flat:
        split, classes = "train", None
        spec = gankit.ImageSpec.any_size(channels)

        def prepare(self): ...

        def __len__(self):
            return 20

        def __getitem__(self, index):
            return torch.full((channels, 10 + index, 30 - index), index, dtype=torch.uint8), 0

    class Data:
        @gankit.hookimpl
        def register(self, registries):
            registries.datasets.add("flat", Flat)

    plain = {"generator": {"name": "plain"}, "discriminator": {"name": "plain"}}
    made = recipe(image={"size": size}, dataset={"name": "flat"}, callbacks=[{"name": "sample_images"}], **plain)
    runtime.load_plugin(Data())
    trainer = runtime.assemble(made, tmp_path / "run")
    trainer.fit()
    height, width = (size, size) if isinstance(size, int) else size
    assert trainer.sample(3).shape == (3, channels, height, width)
    assert (tmp_path / "run/fake_samples_epoch_000.png").is_file()


class Fading(torch.nn.Module):
    """A generator with a scheduled parameter, and a weight of five dimensions."""

    def __init__(self, image, latent_dim, *, fade: gankit.Scheduled = 0.0):
        super().__init__()
        self.image, self.fade = image, fade
        self.weight = torch.nn.Parameter(torch.zeros(1, 1, 1, 1, latent_dim))

    def forward(self, z, labels=None):
        shape = (len(z), self.image.channels, self.image.height, self.image.width)
        return ((z * self.weight.view(-1)).sum(1) * self.fade).tanh().view(-1, 1, 1, 1).expand(shape)


class Hooked:
    """A plugin made of what a test needs."""

    def __init__(self, **components):
        self.components = components

    @gankit.hookimpl
    def register(self, registries):
        for kind, (name, factory) in self.components.items():
            getattr(registries, kind).add(name, factory)


def test_a_networks_scheduled_parameters_move_and_the_averages_too(runtime, recipe):
    runtime.load_plugin(Hooked(generators=("fading", Fading)))
    fade = {"start": 0.0, "end": 1.0, "over_images": 16}
    ema = {"half_life_images": {"start": 0, "end": 100, "over_images": 1000}}
    trainer = runtime.assemble(recipe(generator={"name": "fading", "fade": fade}, ema=ema))
    seen = []
    for _ in range(3):
        trainer.step()
        seen.append((trainer.state.generator.fade, trainer.state.ema.module.fade))
    assert seen == [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)]


class LearningLoss(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def discriminator(self, turn): ...

    generator = discriminator


class HalfState:
    def discriminator(self, turn): ...

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
def test_what_would_be_silently_lost_is_refused(runtime, recipe, loss, message):
    runtime.load_plugin(Hooked(losses=("odd", loss)))
    with pytest.raises(gankit.RecipeError, match=message):
        runtime.assemble(recipe(loss={"name": "odd"}))


class Greedy:
    """A game of its own, which takes two batches a step, and fails when told to."""

    fails = False

    def step(self, game, batches, state):
        reals = [next(batches), next(batches)]
        if self.fails:
            raise ZeroDivisionError
        with gankit.frozen(game.generator):
            return gankit.take_turn(game, state, "discriminator", reals[0], None) | {"sum": reals[1].images.sum()}


def test_a_game_of_its_own_trains_as_many_images_as_it_is_told(runtime, recipe, tmp_path):
    runtime.load_plugin(Hooked(games=("greedy", Greedy)))
    made = recipe(train={"steps": None, "epochs": 2, "game": {"name": "greedy"}})
    trainer = runtime.assemble(made, tmp_path / "run")
    trainer.fit()
    assert (trainer.state.step, trainer.state.images, trainer.epoch) == (6, 96, 1)


def test_a_failed_step_can_be_played_again(runtime, recipe):
    runtime.load_plugin(Hooked(games=("greedy", Greedy)))
    made = recipe(train={"game": {"name": "greedy"}})
    expected = runtime.assemble(made).step()["sum"]
    trainer = runtime.assemble(made)
    trainer.setup.game.rules.fails = True
    with pytest.raises(ZeroDivisionError):
        trainer.step()
    trainer.setup.game.rules.fails = False
    assert torch.equal(trainer.step()["sum"], expected)


@pytest.mark.parametrize("method", ["on_run_start", "on_run_end"])
def test_a_failure_at_the_start_or_the_end_is_recorded(runtime, recipe, tmp_path, method):
    trainer = runtime.assemble(recipe(callbacks=CALLBACKS), tmp_path / "run")

    def fail(run):
        raise ZeroDivisionError("oh")

    trainer.callbacks.add("broken", type("Broken", (), {method: staticmethod(fail)})())
    with pytest.raises(ZeroDivisionError):
        trainer.fit()
    assert json.loads((tmp_path / "run/run.json").read_text())["ended"]["reason"] == "failed: ZeroDivisionError: oh"
    assert watcher(trainer)[-1][0] == "exception"


def test_initialize_takes_the_average_along(runtime, recipe, tmp_path):
    ema = {"half_life_images": 100, "ramp_up": None}
    first = runtime.assemble(recipe(callbacks=CALLBACKS, ema=ema), tmp_path / "first")
    first.fit()
    second = runtime.assemble(recipe(initialize=str(tmp_path / "first"), ema=ema), tmp_path / "second")
    assert torch.equal(second.sample(4), first.sample(4))
    second.step()
    names = dict(second.state.ema.module.named_parameters())
    assert not any(torch.equal(value, names[name]) for name, value in second.state.generator.named_parameters())
