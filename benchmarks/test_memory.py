"""Peak memory: against the plain script with its workers, over the steps, and with checkpointed activations."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import RECIPES
from live_tensors import LiveTensors
from training_process import PeakMemory, TrainingProcess
from training_programs import train_gankit, train_plain

MEBIBYTE = 2**20
LOOKS = 10
SMALL = ["generator.width=8", "discriminator.width=8", "image.size=32", "loader.batch_size=8", "train.steps=1000000"]

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="memory is read from Linux's /proc"
)


def test_peak_against_the_plain_script(benchmark, cifar10, device, amount, tmp_path):
    """Measures each side from its start, one after the other, summed over its processes."""
    overrides = [f"dataset.root={cifar10.root}", f"train.device={device}"]
    recipe = RECIPES / "dcgan_cifar10.yaml"
    cifar10.folder  # noqa: B018  # unpacks the images before the measurement
    info = benchmark.extra_info

    def measure(name, *entry):
        with TrainingProcess(*entry, log=tmp_path / f"{name}.txt") as process, PeakMemory(process) as memory:
            process.train(1)
            window = process.train(amount.window)
        info[f"{name}_peak_resident_mebibytes"] = round(memory.peak["Rss"] / MEBIBYTE)
        info[f"{name}_peak_proportional_mebibytes"] = round(memory.peak["Pss"] / MEBIBYTE)
        if device.type == "cuda":
            info[f"{name}_peak_device_mebibytes"] = round(window.device_bytes / MEBIBYTE)
        return memory.peak["Pss"]

    def both():
        one = measure("gankit", train_gankit, recipe, overrides, tmp_path / "ours")
        other = measure("plain", train_plain, cifar10.folder, tmp_path / "plain", str(device))
        info["ratio_of_proportional_peaks"] = round(one / other, 3)
        assert one > 0
        assert other > 0

    benchmark.pedantic(both, rounds=1)
    info["data"] = cifar10.name


def test_memory_is_flat(benchmark, device, amount, tmp_path):
    """A small DCGAN with all callbacks of its recipe: a leak per step is as large as with large networks."""
    data = "dataset={name: noise}"
    overrides = [f"train.device={device}", data, *SMALL]
    recipe = RECIPES / "dcgan_cifar10.yaml"
    steps = max(1, amount.memory_steps // LOOKS)
    seen = []
    with TrainingProcess(train_gankit, recipe, overrides, tmp_path / "ours", log=tmp_path / "ours.txt") as process:
        process.train(steps)  # the first tenth fills caches

        def look():
            process.train(steps)
            seen.append(process.memory()["Rss"])

        benchmark.pedantic(look, rounds=LOOKS - 1)
    grown = seen[-1] - seen[0]
    benchmark.extra_info["steps"] = [steps * (1 + n) for n in range(1, LOOKS)]
    benchmark.extra_info["resident_mebibytes"] = [round(size / MEBIBYTE, 1) for size in seen]
    benchmark.extra_info["growth_mebibytes"] = round(grown / MEBIBYTE, 1)
    assert grown < max(16 * MEBIBYTE, 0.02 * seen[0]), f"memory has grown by {grown / MEBIBYTE:.1f} MiB over the steps"


def test_checkpointed_activations(benchmark, assemble, device, amount):
    """The peak memory of a step of StyleGAN2 with ``train.checkpoint_activations``, over that without."""
    size = ["generator.width=8", "discriminator.width=8"] if amount.quick else []
    settings = ["regularizers=[]", "augmentations=[]", "loader.batch_size=16", "train.precision=fp32", *size]
    patterns = "train.checkpoint_activations={generator: [synthesis.blocks.*], discriminator: [blocks.*]}"
    recipe = "stylegan2_cifar10_cpu"
    info = benchmark.extra_info

    def peak(*overrides):
        trainer = assemble(recipe, "dataset={name: noise}", "conditional=false", *settings, *overrides)
        trainer.step()  # which creates the states of the optimizers
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            trainer.step()
            return torch.cuda.max_memory_allocated()
        with LiveTensors() as tensors:
            trainer.step()
        return tensors.peak

    def both():
        whole, checkpointed = peak(), peak(patterns)
        info["whole_mebibytes"] = round(whole / MEBIBYTE, 1)
        info["checkpointed_mebibytes"] = round(checkpointed / MEBIBYTE, 1)
        info["ratio_of_peaks"] = round(checkpointed / whole, 3)
        assert checkpointed < whole

    benchmark.pedantic(both, rounds=1)
