"""Writing and reading checkpoints of `recipes/dcgan_cifar10.yaml`, against `torch.save` and `torch.load`."""

from __future__ import annotations

import os
import shutil

import pytest
import torch

from gankit.runs.checkpoint import Checkpoint
from gankit.runs.save_checkpoint import save_checkpoint


@pytest.fixture
def trained(assemble):
    trainer = assemble("dcgan_cifar10", "dataset={name: noise, count: 64}")
    trainer.step()  # creates the optimizer states
    return trainer


def everything(trainer):
    return {
        "networks": {name: network.state_dict() for name, network in trainer.state.networks().items()},
        "state": trainer.state.counters(),
    }


def torch_save(trainer, path):
    with path.open("wb") as file:
        torch.save(everything(trainer), file)
        file.flush()
        os.fsync(file.fileno())


def test_save(trained, compare, benchmark, tmp_path):
    """gankit also checks that the state is plain data, computes SHA-256 of each file and writes atomically."""
    written = []

    def ours():
        shutil.rmtree(tmp_path / "checkpoints", ignore_errors=True)
        networks, state = trained.state.networks(), {"training": trained.state.counters()}
        written.append(save_checkpoint(tmp_path, 1, networks, state, trained.setup.manifest))

    compare(ours, lambda: torch_save(trained, tmp_path / "plain.pt"), against="torch.save of the same, and fsync")
    benchmark.extra_info["mebibytes"] = round(sum(f.stat().st_size for f in written[-1].iterdir()) / 2**20, 1)


def test_load(trained, compare, tmp_path):
    networks, state = trained.state.networks(), {"training": trained.state.counters()}
    path = save_checkpoint(tmp_path, 1, networks, state, trained.setup.manifest)
    torch_save(trained, tmp_path / "plain.pt")

    def ours():
        checkpoint = Checkpoint.open(path)
        for name, network in networks.items():
            checkpoint.load_network(name, network)
        trained.state.load_counters(checkpoint.load_state()["training"])

    def plain():
        saved = torch.load(tmp_path / "plain.pt", weights_only=True)
        for name, network in networks.items():
            network.load_state_dict(saved["networks"][name])
        trained.state.load_counters(saved["state"])

    compare(ours, plain, against="torch.load of the same, weights_only")
    assert trained.state.step == 1
