"""The plugins of ``tests/own_games``, CycleGAN and CUT come to the same weights on two processes as on one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import gankit

pytestmark = pytest.mark.dist

PLUGINS = Path(__file__).parent.parent / "own_games" / "plugins"
STEPS = 4
UNPAIRED = {
    "name": "unpaired",
    "seed": 3,
    "image": {"size": 8},
    "dataset": {
        "name": "unpaired",
        "image": {"name": "shapes", "count": 20, "size": 8},
        "source": {"name": "shapes", "count": 20, "size": 8, "seed": 1},
    },
    "loader": {"batch_size": 8, "flip": True},
    "loss": "lsgan",
    "train": {"steps": STEPS, "device": "cpu", "precision": "fp64"},
}
CYCLEGAN = UNPAIRED | {
    "generator": {"name": "two_translators", "width": 2, "blocks": 1, "halvings": 1},
    "discriminator": {"name": "two_patchgans", "width": 2, "layers": 0},
    "regularizers": ["cycle", "identity"],
    "train": UNPAIRED["train"] | {"game": {"name": "cyclegan", "pool": 10}},
}
CUT = UNPAIRED | {
    "generator": {"name": "resnet_translator", "width": 2, "blocks": 2, "halvings": 1},
    "discriminator": {"name": "patchgan", "width": 2, "layers": 0, "norm": "instance"},
    "regularizers": [{"name": "patch_nce", "channels": [3, 4, 4, 4], "patches": 5, "width": 4}],
}
RECIPES: dict[str, dict[str, Any]] = {"cyclegan": CYCLEGAN, "cut": CUT}
RECIPES |= {
    path.stem: yaml.safe_load(gankit.Recipe.load(path.with_suffix(".yaml")).to_yaml())
    for path in sorted(PLUGINS.glob("*.py"))
}


@pytest.fixture(scope="module")
def together(play_together) -> dict[str, Any]:
    return dict(zip(RECIPES, play_together(2, [(recipe, STEPS) for recipe in RECIPES.values()]), strict=True))


@pytest.mark.parametrize("name", RECIPES)
def test_two_processes_come_to_the_weights_of_one(name, together, play):
    alone, several = play(RECIPES[name], STEPS), together[name]
    assert several["counters"] == alone["counters"]
    [expected] = alone["by_rank"]
    for state in several["by_rank"]:
        assert state.keys() == expected.keys()
        for key, value in expected.items():
            torch.testing.assert_close(state[key], value, rtol=0, atol=1e-9, msg=key)
    for ours, theirs in zip(several["figures"], alone["figures"], strict=True):
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            torch.testing.assert_close(ours[key], value, rtol=0, atol=1e-9, msg=key)
