"""Real runs of a few hundred steps: planted failures are found and named, and healthy ones raise no alarm."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from gankit_health.batch_norm import batch_norm_of_one

torch.set_num_threads(1)

NO_PENALTY = {"regularizers": []}
R1 = {"regularizers": [{"name": "r1", "gamma": 0.3, "interval": 4}]}
CRITIC = {
    "loss": "wasserstein",
    "discriminator.norm": "layer",
    "regularizers": [{"name": "gradient_penalty", "weight": 10.0}],
}
RELATIVISTIC = {"loss": "relativistic", "regularizers": [{"name": "r1", "gamma": 0.1}, {"name": "r2", "gamma": 0.1}]}
CUTOUT = {"augmentations": [{"name": "diffaugment", "policy": ["cutout"]}]}
FAST = {"optimizers.discriminator.lr": 0.05}
SOON = {"callbacks": [{"name": "health", "every": 10}], "train.steps": 20}  # for findings that need no training
LOSSES = ({"loss": "hinge"}, {"loss": "lsgan"}, CRITIC)  # which take as long again


def found(events):
    return {event["finding"]: event["message"] for event in events if event["event"] == "finding"}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"loss": "bce"}, marks=pytest.mark.slow),  # conditional below
        pytest.param(R1, marks=pytest.mark.slow),  # with real images below
        pytest.param({"loss": "hinge"}, marks=pytest.mark.slow),
        pytest.param({"loss": "lsgan"}, marks=pytest.mark.slow),
        pytest.param(CRITIC, marks=pytest.mark.slow),
        pytest.param(RELATIVISTIC, marks=pytest.mark.slow),
        pytest.param({"augmentations": [{"name": "diffaugment"}]}, marks=pytest.mark.slow),
        {**CUTOUT, "conditional": True},
        pytest.param({"ema": {"half_life_images": 500_000, "ramp_up": None}}, marks=pytest.mark.slow),
        pytest.param({"optimizers.discriminator.lr": 4e-3}, marks=pytest.mark.slow),
        pytest.param({"generator": {"name": "Small"}, "dataset.count": 40, "train.steps": 200}, marks=pytest.mark.slow),
    ],
    ids=[
        "bce",
        "r1",
        "hinge",
        "lsgan",
        "wgan-gp",
        "relativistic",
        "diffaugment",
        "conditional",
        "stale-ema",
        "ttur",
        "few",
    ],
)
def test_a_healthy_run_raises_no_alarm(events, changes):
    assert events({"train.steps": 200, **changes}) == []


@pytest.mark.parametrize(
    "changes",
    [{"loss": "bce"}, *(pytest.param(loss, marks=pytest.mark.slow) for loss in (R1, *LOSSES))],
    ids=["bce", "r1", "hinge", "lsgan", "wgan-gp"],
)
def test_a_learning_rate_of_d_fifty_times_too_high(events, changes):
    message = found(events({**changes, **FAST, "train.steps": 100}))["discriminator_too_fast"]
    assert "0.05 against 0.001, is too high: lower optimizers.discriminator.lr" in message


@pytest.mark.parametrize("side", ["generator", "discriminator"])
def test_a_learning_rate_of_zero(events, side):
    message = found(events({f"optimizers.{side}.lr": 0.0, **SOON}))[f"frozen_{side}"]
    assert f"The {side}'s weights have not changed at all" in message
    assert "its learning rate is 0" in message


def test_a_discriminator_that_has_won(events):
    seen = events({"loss": "bce", "optimizers.generator.lr": 1e-5, "generator": {"name": "Small"}})
    message = found(seen)["discriminator_saturated"]
    assert "The discriminator has won: its loss was below 0.01 in 9" in message or "in 100% of the last" in message
    assert "regularizers: r1" in message


def test_a_generator_that_ignores_its_latent(events):
    message = found(events({"generator": {"name": "IgnoresLatent"}, **SOON}))["ignores_latent"]
    assert "its images differ by 0 in a range of 2" in message


def test_a_generator_that_ignores_its_labels(events):
    seen = found(events({"generator": {"name": "IgnoresLabels"}, "conditional": True, **SOON}))
    assert list(seen) == ["ignores_labels"]
    assert "The generator ignores its labels" in seen["ignores_labels"]


def test_a_conditional_generator_that_ignores_its_latent_alone(events):
    seen = found(events({"generator": {"name": "IgnoresLatent"}, "conditional": True, **SOON}))
    assert list(seen) == ["ignores_latent"]


def test_a_generator_that_ends_in_a_sigmoid(events):
    message = found(events({"generator": {"name": "Sigmoid"}, **SOON}))["one_sided_range"]
    assert "never below 0" in message
    assert "tanh, not with sigmoid" in message


def test_values_far_outside_of_the_range(events):
    seen = found(events({"generator": {"name": "Linear", "scale": 9.0}, **SOON}))
    assert "from -9" in seen["range_overflow"] or "beyond +-1.25" in seen["range_overflow"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [(0, "circle"), *(pytest.param(*other, marks=pytest.mark.slow) for other in ((1, "square"), (2, "triangle")))],
)
def test_a_generator_that_knows_one_class_only(events, kind, name):
    generator = {"name": "Remembers", "kind": kind}
    seen = found(events({"generator": generator, **SOON}))
    assert f"they show one class only, '{name}', of 3" in seen["missing_modes"]


def test_a_generator_that_repeats_a_few_images(events):
    seen = found(events({"generator": {"name": "Remembers", "few": 12}, **SOON}))
    assert "collapsed to a few images" in seen["mode_collapse"]


@pytest.mark.slow
def test_a_generator_of_real_images_is_healthy(events):
    assert events({"generator": {"name": "Remembers"}, **R1, "train.steps": 200}) == []


@pytest.mark.parametrize(
    "generator", [{"name": "Cutout"}, {"name": "Remembers", "greyed": True}], ids=["young", "real"]
)
def test_a_cutout_that_leaks(events, generator):
    message = found(events({**CUTOUT, "generator": generator, **SOON}))["augmentation_leak"]
    assert "of their cells are flat at 0" in message
    assert "leave out cutout" in message


def test_nothing_can_leak_that_is_not_applied(events):
    seen = found(events({"generator": {"name": "Remembers", "greyed": True}, **SOON}))
    assert "augmentation_leak" not in seen


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"loader.batch_size": 1}, "loader.batch_size is 1"),
        ({"train.microbatch": 1}, "train.microbatch is 1"),
        ({"train.microbatch": 5}, "train.microbatch 5 leaves one image of a batch of 16"),
    ],
)
def test_batch_norm_of_one_image(events, changes, cause):
    (event,) = events({**changes, "train.steps": 1})
    assert event["finding"] == "batch_norm_of_one"
    assert event["step"] == 0
    assert f"BatchNorm sees one image at a time in generator.layers.1 and 2 more: {cause}" in event["message"]


def test_one_image_at_a_time_is_fine_without_batch_norm(events):
    assert (
        events(
            {"loader.batch_size": 1, "train.steps": 1, "generator": {"name": "Remembers"}, "discriminator.norm": "none"}
        )
        == []
    )


@pytest.mark.parametrize(
    ("batch", "part", "processes", "cause"),
    [
        (4, None, 4, "loader.batch_size is 4, one image for each of 4 processes"),
        (8, 3, 2, "train.microbatch 3 leaves one image of a batch of 4 in each of 2 processes"),
        (8, 1, 2, "train.microbatch is 1"),
        (8, 7, 2, None),  # in one process it would leave one
        (8, 3, 1, None),
    ],
)
def test_batch_norm_of_one_image_of_a_process(batch, part, processes, cause):
    recipe = SimpleNamespace(loader=SimpleNamespace(batch_size=batch), train=SimpleNamespace(microbatch=part))
    networks = {"generator": nn.Sequential(nn.BatchNorm2d(2)), "discriminator": nn.Identity()}
    state = SimpleNamespace(players=networks)
    found = batch_norm_of_one(recipe, state, processes)
    assert [cause in finding.message for finding in found] == ([] if cause is None else [True])
    norm = state.players["generator"][0]
    norm.__class__ = type("SynchronizedBatchNorm2d", (nn.BatchNorm2d, nn.SyncBatchNorm), {})  # as in a run
    alone = batch_norm_of_one(recipe, state, processes)
    assert alone == (found if processes == 1 else [])
