"""Loading and checking recipes, and assembling trainers."""

from __future__ import annotations

import pytest
import torch
import yaml
from conftest import RECIPES
from plain_dcgan import Discriminator, Generator, initialize

import gankit

NAMES = sorted(path.stem for path in RECIPES.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_load_and_check(name, runtime, compare):
    path = RECIPES / f"{name}.yaml"
    compare(lambda: runtime.load(path), lambda: yaml.safe_load(path.read_text()), against="yaml.safe_load of the file")


def test_assemble(runtime, compare, device):
    recipe = runtime.load(RECIPES / "dcgan_cifar10.yaml", ["dataset={name: noise}", f"train.device={device}"])

    def plain():
        for network in (Generator(), Discriminator()):
            network.apply(initialize).to(device)
            torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999))

    compare(lambda: runtime.assemble(recipe), plain, against="the two networks and optimizers, built by hand")


def test_runtime(compare):
    compare(gankit.Runtime, lambda: gankit.Runtime(discover=False), against="a runtime without plugins")
