"""Initial weights and frozen parameters in two processes."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from gankit.runs.file_names import checkpoints

pytestmark = pytest.mark.dist

FREEZE = {"generator": ["layers.1.*"], "discriminator": ["layers.0.*"]}
DECAYING = {"name": "adamw", "lr": 1e-2, "weight_decay": 0.5}
RECIPE: dict[str, Any] = {
    "name": "freeze",
    "image": {"size": 8},
    "latent": {"name": "normal", "dim": 5},
    "dataset": {"name": "noise"},
    "loader": {"batch_size": 8},
    "generator": {"name": "up", "batch_norm": True},
    "discriminator": {"name": "down"},
    "loss": "non_saturating",
    "optimizers": {"generator": DECAYING, "discriminator": DECAYING},
    "ema": {"half_life_images": 20, "ramp_up": None},
    "train": {"steps": 100, "device": "cpu", "precision": "fp64", "freeze": FREEZE},
}
FROZEN = {
    "generator.layers.1.weight", "generator.layers.1.bias",
    "generator_ema.layers.1.weight", "generator_ema.layers.1.bias",
    "discriminator.layers.0.weight", "discriminator.layers.0.bias",
}  # fmt: skip


def saved(run) -> dict[str, torch.Tensor]:
    files = checkpoints(run)[-1].glob("*.safetensors")
    return {f"{file.stem}.{name}": value for file in files for name, value in load_file(file).items()}


def unchanged(one, other) -> set[str]:
    return {name for name in one if torch.equal(one[name], other[name])}


def test_frozen_parameters_stay_in_every_process(play, play_together):
    start = play(RECIPE, 0)["by_rank"][0]
    first, second = play_together(2, [(RECIPE, 3)])[0]["by_rank"]
    assert unchanged(first, start) == FROZEN
    assert unchanged(first, second) == first.keys()


def test_two_processes_come_to_the_same_as_one(play, play_together):
    recipe = RECIPE | {"generator": {"name": "up"}, "train": RECIPE["train"] | {"freeze": {"discriminator": ["layers.0.*"]}}}
    alone, together = play(recipe, 3)["by_rank"][0], play_together(2, [(recipe, 3)])[0]["by_rank"][0]
    for name, value in alone.items():
        assert (value - together[name]).abs().max() < 1e-9, name


def test_a_run_that_starts_from_another_is_resumed(tmp_path, gankit_together, written):
    recipe = written(**{key: RECIPE[key] for key in ("generator", "optimizers", "ema")})
    (alone,) = gankit_together(1, "run", recipe, "train.steps=2", "seed=4", "--out", "first")
    assert alone.returncode == 0, alone.stderr
    first = saved(tmp_path / "first")
    words = ["initialize={from: first, skip: [first.*], copy: {generator: generator_ema}}"]
    words += [f"train.freeze={json.dumps(FREEZE)}", "train.steps=1"]
    rank_zero, other = gankit_together(2, "run", recipe, *words, "--out", "second")
    assert (rank_zero.returncode, other.returncode) == (0, 0), rank_zero.stderr + other.stderr
    assert (other.stdout, other.stderr) == ("", "")
    assert rank_zero.stdout.count("initial weights: ") == rank_zero.stdout.count("frozen: ") == 1
    for unfrozen, steps in (([], 3), (["train.freeze=null"], 5)):
        before = saved(tmp_path / "second")
        for process in gankit_together(2, "resume", "second", f"train.steps={steps}", *unfrozen):
            assert process.returncode == 0, process.stderr
        after = saved(tmp_path / "second")
        assert unchanged(after, before) == (set() if unfrozen else FROZEN)
        if not unfrozen:
            for name in FROZEN:  # G's came from the average, which then took them from G
                assert torch.equal(after[name], first[name.replace("generator.", "generator_ema.")]), name
    events = [json.loads(line) for line in (tmp_path / "second/events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events if event["event"] in ("initialized", "frozen")] == ["initialized", "frozen", "frozen"]
