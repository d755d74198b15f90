"""The DCGAN of `recipes/dcgan_cifar10.yaml`, all included, against a plain script on the same pictures."""

from __future__ import annotations

import os

import pytest
from conftest import RECIPES
from contestant import Contestant
from entries import ours, plain

BATCH = 64

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a signal makes one process wait for the other")


def test_dcgan_cifar10_against_the_plain_script(benchmark, compare, cifar10, device, amount, tmp_path):
    """Reading, training, figures, log, grids, curves and checkpoints, as `gankit run` does them by default.

    The curves, which are drawn at most every 30 seconds, are drawn more often here than in a run by itself: the clock
    goes on while gankit stands still.
    """
    overrides = [f"dataset.root={cifar10.root}", f"train.device={device}"]
    recipe = RECIPES / "dcgan_cifar10.yaml"
    with (
        Contestant(ours, recipe, overrides, tmp_path / "ours", log=tmp_path / "ours.txt") as gankit_run,
        Contestant(plain, cifar10.folder, tmp_path / "plain", str(device), log=tmp_path / "plain.txt") as script,
    ):
        compare(
            lambda: gankit_run.play(amount.window),
            lambda: script.play(amount.window),
            against="plain_dcgan.py: image files, PIL, 2 workers, fp32, losses printed each step",
            images=BATCH * amount.window,
        )
    benchmark.extra_info |= {"data": cifar10.name, "steps_in_a_window": amount.window}
    steps = (1 + amount.rounds) * amount.window
    assert f"step {steps - 1} loss" in (tmp_path / "plain.txt").read_text()
    assert (tmp_path / "ours/loss_curves.png").is_file()
    assert (tmp_path / "ours/fake_samples_epoch_000.png").is_file()
    assert f'"step":{max(1, steps // 10 * 10)},' in (tmp_path / "ours/metrics.jsonl").read_text().replace(" ", "")
