"""Several processes come to the weights of one that has the same batch."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.dist

ADAM = {"name": "adam", "lr": 1e-3, "betas": [0.5, 0.99]}
BASE: dict[str, Any] = {
    "name": "exact",
    "image": {"size": 8},
    "latent": {"name": "normal", "dim": 5},
    "dataset": {"name": "noise"},
    "loader": {"batch_size": 8},
    "generator": {"name": "up"},
    "discriminator": {"name": "down"},
    "loss": "non_saturating",
    "optimizers": {"generator": ADAM, "discriminator": ADAM},
    "train": {"steps": 100, "device": "cpu", "precision": "fp64"},
    "ema": {"half_life_images": 50},
}
STEPS = 5
GAMES: dict[str, dict[str, Any]] = {
    "R1": {"regularizers": [{"name": "r1", "gamma": 1.0}]},
    "lazy R1": {"regularizers": [{"name": "r1", "gamma": 1.0, "interval": 2}]},
    "WGAN-GP": {
        "loss": "wasserstein",
        "regularizers": [{"name": "gradient_penalty"}],
        "train": BASE["train"] | {"discriminator_steps": 2},
    },
    "hinge, spectral norm": {"loss": "hinge", "discriminator": {"name": "down", "spectral": True}},
    "in parts": {
        "loss": "wasserstein",
        "conditional": True,
        "regularizers": [{"name": "gradient_penalty"}, {"name": "r2", "interval": 2}],
        "train": BASE["train"] | {"microbatch": 3, "clip_gradient": 1.0},
    },
    "clipped": {"regularizers": [{"name": "r2"}], "train": BASE["train"] | {"clip_gradient": 0.01}},
    "classes, flips, workers": {
        "conditional": True,
        "loader": {"batch_size": 8, "flip": True, "cache": "none", "workers": 1},
    },
    "mean over processes": {"loss": "logits_mean"},
    "means of both sides": {"loss": "relativistic_average"},
    "running averages and noise": {
        "regularizers": [
            {"name": "lecam"},
            {"name": "dragan"},
            {"name": "consistency", "fake_weight": 2.0},
        ],
    },
    "fields of the data": {
        "dataset": {"name": "pairs", "independent": ["place"]},
        "loader": {"batch_size": 8, "flip": True},
        "generator": "enlarge",
        "discriminator": "compare",
        "regularizers": ["l1", {"name": "r1", "interval": 2}],
        "train": BASE["train"] | {"microbatch": 3},
    },
    "a queue of fakes": {"train": BASE["train"] | {"game": "queue", "microbatch": 3}},
    "adaptive": {
        # p moves and is compared, but stays so small that nothing is cut out, which each process draws for itself
        "augmentations": [{"name": "ada", "policy": ["cutout"], "target": -0.9, "speed": 1e9, "interval": 2}],
    },
}


@pytest.fixture(scope="module", params=[2, 4])
def together(request, play_together) -> dict[str, Any]:
    return dict(zip(GAMES, play_together(request.param, [(BASE | own, STEPS) for own in GAMES.values()]), strict=True))


@pytest.mark.parametrize("game", GAMES)
def test_steps_are_those_of_one_process(game, together, play):
    """Weights and EMA in every process; and the figures, which are of all images and not of one process's."""
    alone, several = play(BASE | GAMES[game], STEPS), together[game]
    assert several["counters"] == alone["counters"]
    for state in several["by_rank"]:
        assert_close(state, alone["by_rank"][0])
    for one, ours in zip(alone["figures"], several["figures"], strict=True):
        assert_close(ours, one)


def test_parts_change_nothing(play):
    """Neither do they with one process, so that parts of several come to what the whole batch of one comes to."""
    recipe = BASE | GAMES["in parts"]
    whole = recipe | {"train": BASE["train"] | {"fresh_fakes": True, "clip_gradient": 1.0}}
    assert_close(play(recipe, STEPS)["by_rank"][0], play(whole, STEPS)["by_rank"][0])


def assert_close(got: dict[str, Any], expected: dict[str, Any]) -> None:
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        difference = (got[name].double() - value.double()).abs().max().item()
        assert difference < 1e-9, f"{name}: differs by {difference}"
