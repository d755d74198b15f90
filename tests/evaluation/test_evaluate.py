"""`evaluate`: equal scores for equal requests, and no side effects."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import gankit
from gankit.evaluation import Request, evaluate
from gankit.evaluation.generated_images import open_generated_images
from gankit.evaluation.real_dataset import open_real_dataset
from gankit.runs.resolve_source import resolve_source


def test_equal_requests_give_equal_scores_and_share_real_features(trained_run, runtime, seen):
    trained_run()
    request = Request(metrics=["gap"], features="colours", samples=70, device="cpu")
    one, other = evaluate("run", request, runtime), evaluate(Path("run"), request, runtime)
    assert one.scores == other.scores
    assert one.protocol == other.protocol
    assert seen == [64, 6, 64, 6, 64, 6]  # real and generated, then twice only generated
    shutil.rmtree("data")
    assert evaluate("run", request, runtime).scores == one.scores
    third = evaluate("run", Request(metrics=["gap"], features="colours", samples=70, seed=1), runtime)
    assert third.scores != one.scores
    assert third.protocol == one.protocol


def test_more_samples_start_with_the_same_images(trained_run, runtime):
    """A batch depends on the seed and its number only."""
    trained_run(conditional=True)
    real = open_real_dataset(runtime.registries, Request((), ""), Path("run"), "run")
    few, many = (
        torch.cat(list(open_generated_images(runtime, resolve_source("run"), Request((), "", samples=n), real, torch.device("cpu")).batches()))
        for n in (64, 150)
    )  # fmt: skip
    assert (len(few), len(many)) == (64, 150)
    assert torch.equal(few, many[:64])
    assert len(torch.unique(many.flatten(1), dim=0)) == 150


def test_metrics_without_real_images_do_not_get_them(trained_run, runtime):
    trained_run()
    classes = runtime.registries.features.get("classes").factory
    asked, original = [], classes.logits
    classes.logits = lambda self, features: asked.append(len(features)) or original(self, features)
    request = Request(metrics=["fakes", "gap"], features="classes", samples=70, device="cpu")
    scores = evaluate("run", request, runtime).scores
    assert (scores["real_fed_classes"], scores["fakes_fed_classes"]) == (0, 70)
    assert asked == [64, 6]
    assert evaluate("run", Request(metrics=["gap", "sureness"], features="classes", samples=70), runtime)
    assert asked == [64, 6] * 3


def test_global_state_does_not_change(trained_run, runtime):
    trained_run()
    torch.manual_seed(5)
    before = torch.get_rng_state(), torch.backends.cudnn.allow_tf32, torch.is_grad_enabled()
    evaluate("run", Request(metrics=["gap"], features="colours", samples=20), runtime)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (torch.backends.cudnn.allow_tf32, torch.is_grad_enabled()) == before[1:]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, r"samples must be from 1 to 2\^31 - 1; got 0"),
        ({"size": (0, 4)}, r"size must be from 1 to 2\^31 - 1; got 0"),
        ({"seed": -1}, "seed must be .*-1"),
        ({"seed": 2**63}, "seed must be .*9223372036854775808"),
    ],
)
def test_requests_with_numbers_out_of_range(options, message):
    with pytest.raises(gankit.GankitError, match=message):
        Request(metrics=["gap"], features="colours", **options)


class Wrong:
    """A metric that computes something that a record cannot hold."""

    uses = "features"

    def __init__(self, scores):
        self.scores = scores

    def update(self, features, real): ...

    def compute(self):
        return self.scores


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"x": torch.ones(3)}, r"metric 'wrong': `compute` returns .* for 'x'; expected a number"),
        ({"x": None}, r"metric 'wrong': `compute` returns None .*for 'x'; expected a number"),
        ({str(i): 0.0 for i in range(65)}, "the metrics compute 65 scores; a record holds at most 64"),
        ({"x" * 300: 0.0}, "the name of score xxx.* has more than 200 characters"),
    ],
)
def test_scores_that_a_record_cannot_hold(trained_run, runtime, add_components, scores, message):
    trained_run()
    add_components(runtime, metrics={"wrong": lambda: Wrong(scores)})
    with pytest.raises(gankit.GankitError, match=message):
        evaluate("run", Request(metrics=["wrong"], features="colours", samples=20), runtime)


def test_a_recipe_that_finds_other_data_than_those_of_the_training_is_a_caution(trained_run, runtime):
    trained_run()
    request = Request(metrics=["gap"], features="colours", samples=64, device="cpu")
    assert evaluate("run", request, runtime).cautions == ()
    recipe = Path("run/recipe.yaml")
    recipe.write_text(recipe.read_text().replace("count: 100", "count: 90"))
    expected = "the real images are not those of the training: the data: 100 images, now 90"
    assert evaluate("run", request, runtime).cautions[0] == expected
    other = Request(metrics=["gap"], features="colours", samples=64, device="cpu", real="{name: tiny, count: 90}")
    assert evaluate("run", other, runtime).cautions == ()
