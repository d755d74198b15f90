"""A run: its length, labels, schedules and directory; that it can be repeated, and that it meets no other run."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

import gankit

CALLBACKS = [{"name": "watcher"}, {"name": "checkpoint", "every": 4}]


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


def test_iterating_and_fit_are_the_same(runtime, recipe, tmp_path, weights, same):
    one, two = (runtime.assemble(recipe(callbacks=CALLBACKS), tmp_path / name) for name in "ab")
    yielded = list(one)
    two.fit()
    assert len(yielded) == 4
    assert same(weights(one), weights(two))


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


def test_interleaved_trainers_give_what_each_gives_alone(runtime, recipe, tmp_path, weights, same):
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
    assert trainer.setup.sampling.frequencies == [0.25] * 4


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
        seen.append((trainer.context.regularizers["r1"].gamma, group["lr"], group["betas"]))
    # the optimizer has the values of the step; components those of the next one, which samples use as well
    assert seen == [(0.5, 0.02, (0.0, 0.9)), (0.0, 0.01, (0.0, pytest.approx(0.945))), (0.0, 0.0, (0.0, 0.99))]


def test_a_callback_has_no_schedule(runtime, recipe, add_components):
    class Fading:
        def __init__(self, *, share: gankit.Scheduled = 1.0) -> None: ...

    add_components(runtime, callbacks={"fading": Fading})
    ramp = {"start": 1.0, "end": 0.0, "over_images": 16}
    with pytest.raises(gankit.RecipeError, match=r"callbacks\.0\.share: a schedule has no effect in a callback"):
        runtime.assemble(recipe(callbacks=[{"name": "fading", "share": ramp}]))


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


def test_initialize_begins_with_the_weights_of_another_run(runtime, recipe, tmp_path, weights, same):
    first = runtime.assemble(recipe(callbacks=CALLBACKS), tmp_path / "first")
    first.fit()
    second = runtime.assemble(recipe(seed=9, initialize=str(tmp_path / "first")), tmp_path / "second")
    assert same(weights(second), weights(first))
    assert (second.state.step, second.state.images) == (0, 0)


def test_initialize_takes_the_average_along(runtime, recipe, tmp_path):
    ema = {"half_life_images": 100, "ramp_up": None}
    first = runtime.assemble(recipe(callbacks=CALLBACKS, ema=ema), tmp_path / "first")
    first.fit()
    second = runtime.assemble(recipe(initialize=str(tmp_path / "first"), ema=ema), tmp_path / "second")
    assert torch.equal(second.sample(4), first.sample(4))
    second.step()
    names = dict(second.state.ema.module.named_parameters())
    assert not any(torch.equal(value, names[name]) for name, value in second.state.generator.named_parameters())


def test_the_resolved_recipe_runs_again_to_the_same_result(runtime, recipe, tmp_path, weights, same):
    first = runtime.assemble(recipe(loader={"flip": True}, conditional=True), tmp_path / "first")
    first.fit()
    second = runtime.assemble(gankit.Recipe.load(tmp_path / "first/recipe.yaml"), tmp_path / "second")
    second.fit()
    assert same(weights(first), weights(second))
    assert (tmp_path / "first/recipe.yaml").read_text() == (tmp_path / "second/recipe.yaml").read_text()


@pytest.mark.parametrize(("size", "channels"), [([8, 16], 3), (16, 1), (16, 4), (16, 2)])
def test_any_size_and_channels(runtime, recipe, add_components, tmp_path, size, channels):
    class Flat:
        split, classes = "train", None
        spec = gankit.ImageSpec.any_size(channels)

        def prepare(self): ...

        def __len__(self):
            return 20

        def __getitem__(self, index):
            return torch.full((channels, 10 + index, 30 - index), index, dtype=torch.uint8), 0

    plain = {"generator": {"name": "plain"}, "discriminator": {"name": "plain"}}
    made = recipe(image={"size": size}, dataset={"name": "flat"}, callbacks=[{"name": "sample_images"}], **plain)
    add_components(runtime, datasets={"flat": Flat})
    trainer = runtime.assemble(made, tmp_path / "run")
    trainer.fit()
    height, width = (size, size) if isinstance(size, int) else size
    assert trainer.sample(3).shape == (3, channels, height, width)
    assert (tmp_path / "run/fake_samples_epoch_000.png").is_file()
