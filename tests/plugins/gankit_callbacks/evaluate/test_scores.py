"""Scores equal those of `gankit eval`, and evaluating does not change the training."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import gankit
from gankit.evaluation import evaluate
from gankit.evaluation.evaluation_log import read_evaluations

ROOT = Path(__file__).parents[4]


WANTED = {"metrics": ["gap"], "features": "colours", "samples": 70}


REQUEST = gankit.Request(**WANTED, device="cpu")


def evaluations(name: str = "run") -> list[gankit.Evaluation]:
    return read_evaluations(Path(name, "evaluations.jsonl"))


def events(name: str = "run") -> list[dict[str, Any]]:
    return [event for event in gankit.JsonLines.read(Path(name, "events.jsonl")) if event["event"] == "evaluated"]


SAME = {
    "plain": {},
    "ema": {"ema": {"half_life_images": 20}},
    "conditional": {"conditional": True},
    "noise": {"generator": {"name": "noisy"}},
    "dcgan": {"generator": {"name": "dcgan", "width": 8}, "image": {"size": 32}, "dataset": {"name": "tiny", "count": 100, "side": 32}},
    "bf16": {
        "generator": {"name": "dcgan", "width": 8}, "image": {"size": 32}, "dataset": {"name": "tiny", "count": 100, "side": 32},
        "train": {"steps": 4, "device": "cpu", "precision": "bf16"},
    },
    "fp64": {"generator": {"name": "dcgan", "width": 8}, "train": {"steps": 4, "device": "cpu", "precision": "fp64"}},
}  # fmt: skip


@pytest.mark.parametrize("sections", SAME.values(), ids=SAME)
def test_the_scores_are_those_of_the_checkpoint_later(make, runtime, sections):
    train = sections.get("train", {"steps": 4, "device": "cpu", "precision": "fp32"})
    callbacks = [{"name": "evaluate", **WANTED, "every": 2}, {"name": "checkpoint", "every": 2, "keep": None}]
    make(callbacks=callbacks, **{**sections, "train": train}).fit()
    records = evaluations()
    assert [record.evaluated.step for record in records] == [2, 4]
    for record in records:
        later = evaluate(Path("run/checkpoints") / f"step-{record.evaluated.step:08d}", REQUEST, runtime)
        assert record.scores == later.scores
        assert record.protocol == later.protocol
        assert record.real == later.real
        assert record.features == later.features
        assert record.metrics == later.metrics
        assert record.evaluated.ema is later.evaluated.ema is ("ema" in sections)
    assert records[0].scores != records[1].scores


@pytest.mark.gpu
@pytest.mark.parametrize("compiled", [False, True])
def test_the_scores_are_those_of_the_checkpoint_later_on_a_gpu(make, runtime, compiled):
    make(
        callback={"every": 4},
        generator={"name": "dcgan", "width": 32},
        train={"steps": 4, "device": "cuda", "compile": compiled},
    ).fit()
    (record,) = evaluations()
    assert record.device.startswith("cuda")
    assert record.scores == evaluate("run", gankit.Request(**WANTED, device="cuda"), runtime).scores


def test_a_cache_that_cannot_be_written_is_an_event(make, recwarn):
    Path("data").touch()
    make(callback={}).fit()
    (notice,) = (
        event for event in gankit.JsonLines.read(Path("run/events.jsonl")) if event["event"] == "features_not_cached"
    )
    assert re.search(r"features of the real images cannot be cached: Not a directory", notice["message"])
    assert len(evaluations()) == 1
    assert not recwarn.list


def test_the_record_and_the_event(make):
    make(callback={"every": 4}).fit()
    first, last = evaluations()
    assert first.evaluated.model_dump() == {
        "kind": "training", "path": str(Path.cwd() / "run"), "run": "run", "checkpoint": None, "step": 4, "ema": False,
        "weights": None,
    }  # fmt: skip
    assert last.evaluated.step == 6
    assert (first.samples, first.real.count, first.seed, first.device) == (70, 70, 0, "cpu")
    assert first.metrics["gap"].better == {"gap_colours": "lower"}
    assert [(event["step"], event["scores"]) for event in events()] == [(4, first.scores), (6, last.scores)]


def test_parameters_reach_the_scorers(make):
    make(callback={"every": 6, "params": {"gap": {"power": 2}}, "real_samples": 30, "size": 8, "seed": 3}).fit()
    (record,) = evaluations()
    assert record.metrics["gap"].params == {"power": 2}
    assert (record.real.count, record.image.height, record.seed) == (30, 8, 3)


def test_the_command_line_reaches_the_scorers(runtime, tiny_recipe, tmp_path):
    path = tiny_recipe(tmp_path, callbacks=[{"name": "evaluate", **WANTED}])
    recipe = runtime.load(path, ["callbacks.evaluate.params.gap.power=3", "callbacks.evaluate.every=1"])
    assert recipe.callbacks[0].params["params"] == {"gap": {"power": 3}}


@pytest.mark.parametrize("sections", [{"generator": {"name": "noisy"}}, {"ema": {"half_life_images": 9}}])
def test_training_is_not_disturbed(make, sections):
    weights = []
    for name, callback in (("with", {"every": 1, "metrics": ["gap", "given"]}), ("without", None)):
        torch.manual_seed(7)
        np.random.seed(7)
        trainer = make(name, callback, **sections)
        before = torch.get_rng_state(), np.random.get_state()[1].copy()
        trainer.fit()
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (np.random.get_state()[1] == before[1]).all()
        assert trainer.state.generator.training
        weights.append([network.state_dict() for network in trainer.state.networks().values()])
    assert len(evaluations("with")) == 6
    for one, other in zip(*weights, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_expensive_work_is_done_once(make, runtime):
    seen = runtime.registries.features.get("colours").factory.seen
    seen.clear()
    make("one", {"every": 2}).fit()
    assert seen == [64, 6] * 4  # real, and generated three times
    seen.clear()
    make("two", {"every": 6}).fit()
    assert seen == [64, 6]  # the real ones are known


def test_the_documented_line_is_a_recipes():
    line = re.search(r"^ *(- \{name: evaluate, .*\})$", (ROOT / "docs/evaluation.md").read_text(), re.M)
    assert line is not None
    recipe = gankit.Recipe.load(ROOT / "recipes/quickstart.yaml", [f"callbacks={yaml.safe_load(line[1])}"])
    gankit.Runtime().check(recipe)
