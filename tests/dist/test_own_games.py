"""The plugins of ``tests/own_games`` come to the same weights on two processes as on one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import gankit

pytestmark = pytest.mark.dist

PLUGINS = Path(__file__).parent.parent / "own_games" / "plugins"
NAMES = sorted(path.stem for path in PLUGINS.glob("*.py"))
STEPS = 4


def recipe_of(name: str) -> dict[str, Any]:
    return yaml.safe_load(gankit.Recipe.load(PLUGINS / f"{name}.yaml").to_yaml())


@pytest.fixture(scope="module")
def together(play_together) -> dict[str, Any]:
    return dict(zip(NAMES, play_together(2, [(recipe_of(name), STEPS) for name in NAMES]), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_come_to_the_weights_of_one(name, together, play):
    alone, several = play(recipe_of(name), STEPS), together[name]
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
