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
        ({"samples": 0}, "samples must be at least 1; got 0"),
        ({"size": (0, 4)}, "size must be at least 1; got 0"),
        ({"seed": -1}, "seed must be .*-1"),
        ({"seed": 2**63}, "seed must be .*9223372036854775808"),
    ],
)
def test_requests_with_numbers_out_of_range(options, message):
    with pytest.raises(gankit.GankitError, match=message):
        Request(metrics=["gap"], features="colours", **options)
