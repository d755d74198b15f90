"""A complete run of `recipes/dcgan_cifar10.yaml` against a plain script on the same images."""

from __future__ import annotations

import os

import pytest
from conftest import RECIPES
from training_process import TrainingProcess
from training_programs import train_gankit, train_plain

BATCH = 64

pytestmark = pytest.mark.skipif(os.name != "posix", reason="stopping a process by a signal needs POSIX")


def test_dcgan_cifar10_against_the_plain_script(benchmark, compare, cifar10, device, amount, tmp_path):
    """Data loading, training, metrics, log, image grids, curves and checkpoints, as in `gankit run`.

    Curves are drawn at most every 30 seconds. This clock continues while the process is stopped, so gankit draws
    curves more often here than in a normal run.
    """
    overrides = [f"dataset.root={cifar10.root}", f"train.device={device}"]
    recipe = RECIPES / "dcgan_cifar10.yaml"
    own = (train_gankit, recipe, overrides, tmp_path / "ours")
    other = (train_plain, cifar10.folder, tmp_path / "plain", str(device))
    with (
        TrainingProcess(*own, log=tmp_path / "ours.txt") as gankit_run,
        TrainingProcess(*other, log=tmp_path / "plain.txt") as script,
    ):
        compare(
            lambda: gankit_run.train(amount.window),
            lambda: script.train(amount.window),
            against="plain_dcgan.py: image files, PIL, 2 workers, fp32, losses printed each step",
            images=BATCH * amount.window,
        )
    benchmark.extra_info |= {"data": cifar10.name, "steps_in_a_window": amount.window}
    steps = (1 + amount.rounds) * amount.window
    assert f"step {steps - 1} loss" in (tmp_path / "plain.txt").read_text()
    assert (tmp_path / "ours/loss_curves.png").is_file()
    assert (tmp_path / "ours/fake_samples_epoch_000.png").is_file()
    assert f'"step":{max(1, steps // 10 * 10)},' in (tmp_path / "ours/metrics.jsonl").read_text().replace(" ", "")
