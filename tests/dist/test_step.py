"""What processes agree on within a step, where they do not compute the same as one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from gankit.distributed.process_group import ProcessGroup
from gankit_resnet.layers import BatchNorm as ClassBatchNorm

pytestmark = pytest.mark.dist

SGD = {"name": "sgd", "lr": 0.1, "momentum": 0.9}
BASE: dict[str, Any] = {
    "name": "step",
    "image": {"size": 8},
    "latent": {"name": "normal", "dim": 5},
    "dataset": {"name": "noise"},
    "loader": {"batch_size": 8},
    "generator": {"name": "up"},
    "discriminator": {"name": "down"},
    "loss": "non_saturating",
    "optimizers": {"generator": SGD, "discriminator": SGD},
    "train": {"steps": 100, "device": "cpu", "precision": "fp64"},
}
GAMES: dict[str, tuple[dict[str, Any], int]] = {
    "batch norm": ({"generator": {"name": "up", "batch_norm": True}, "ema": {"half_life_images": 20}}, 3),
    "some gradients in one process alone": ({"regularizers": [{"name": "own_direction_alone"}]}, 1),
    "in parts": (
        {"regularizers": [{"name": "r1"}], "train": BASE["train"] | {"microbatch": 3, "clip_gradient": 1.0}},
        3,
    ),
    "a trained component": ({"regularizers": [{"name": "normalised"}]}, 2),
    "an overflow in one process alone": (
        {"regularizers": [{"name": "overflowing"}], "train": BASE["train"] | {"precision": "fp16"}},
        2,
    ),
    "augmented": ({"augmentations": [{"name": "diffaugment"}]}, 2),
}


@pytest.fixture(scope="module")
def together(play_together) -> dict[str, Any]:
    jobs = [(BASE | own, steps) for own, steps in GAMES.values()]
    return dict(zip(GAMES, play_together(2, jobs), strict=True))


@pytest.mark.parametrize("game", GAMES)
def test_all_processes_have_the_same_weights_and_buffers(game, together):
    first, second = together[game]["by_rank"]
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_statistics_are_averaged_and_not_one_process_s(together, play):
    """On a CPU each process normalises its own share; the running means are then nearly those of one process."""
    recipe, steps = GAMES["batch norm"]
    alone, several = play(BASE | recipe, steps)["by_rank"][0], together["batch norm"]["by_rank"][0]
    name = "generator.layers.1.running_mean"
    assert several[name].abs().max() > 0
    assert not torch.equal(several[name], alone[name])
    first_step = play(BASE | recipe, 1)["by_rank"][0]
    assert (several[name] - alone[name]).abs().max() < 0.2 * first_step[name].abs().max()


def test_trained_components_begin_as_on_the_first_process(together, play):
    both, alone = together["a trained component"]["by_rank"][1], play(BASE | GAMES["a trained component"][0], 0)["by_rank"][0]
    name = "regularizers.normalised.projection.weight"
    assert (both[name] - alone[name]).abs().max() < 0.5
    assert not torch.equal(both[name], alone[name])
    assert both["regularizers.normalised.norm.running_mean"].abs().max() > 0


def test_a_gradient_that_one_process_lacks_is_zero_there(together, play):
    """And one that none has stays away, or momentum would move what the penalty does not concern."""
    _, steps = GAMES["some gradients in one process alone"]
    without = play(BASE, steps)["by_rank"][0]
    several = together["some gradients in one process alone"]["by_rank"][0]
    moved = {name for name, value in several.items() if (value - without[name]).abs().max() > 1e-6}
    assert {name for name in moved if name.startswith("discriminator.")} == {
        "discriminator.layers.0.bias",
        "discriminator.layers.2.bias",
    }


def test_all_processes_skip_the_same_updates(together):
    steps = together["an overflow in one process alone"]["figures"]
    assert [float(figures["discriminator_skipped_updates"]) for figures in steps] == [1, 1]
    assert [float(figures["discriminator_loss_scale"]) for figures in steps] == [32768, 32768]
    assert [float(figures["generator_skipped_updates"]) for figures in steps] == [0, 0]


def test_processes_augment_in_their_own_way(together, play):
    recipe, steps = GAMES["augmented"]
    alone, several = play(BASE | recipe, steps), together["augmented"]
    assert float(alone["figures"][0]["real_logits"]) != float(several["figures"][0]["real_logits"])


def test_batch_norm_is_synchronised_on_cuda(monkeypatch):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    together = object.__new__(ProcessGroup)
    together.device = torch.device("cuda", 1)
    weight = network[1].weight
    converted = together.convert_batchnorm(network)
    assert isinstance(converted[1], nn.SyncBatchNorm)
    assert converted[1].weight is weight
    layer = ClassBatchNorm(4, classes=3).eval()
    images, labels = torch.randn(5, 4, 2, 2), torch.tensor([0, 1, 2, 1, 0])
    layer.running_mean.normal_()
    expected = layer(images, labels)
    assert together.convert_batchnorm(layer) is layer
    assert isinstance(layer, nn.SyncBatchNorm)
    assert torch.equal(layer(images, labels), expected)
    seen = []
    monkeypatch.setattr(nn.SyncBatchNorm, "forward", lambda self, input: seen.append(len(input)) or input)
    layer(images, labels)
    assert seen == [5]
    together.device = torch.device("cpu")
    plain = nn.Sequential(nn.BatchNorm2d(4))
    assert type(together.convert_batchnorm(plain)[0]) is nn.BatchNorm2d
