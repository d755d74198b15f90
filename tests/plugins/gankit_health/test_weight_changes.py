"""Measuring the weights, and the checks of their changes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gankit_health.weight_changes import norm, tensor_sums


def test_sums_change_with_every_trainable_weight():
    network = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5))
    before = tensor_sums(network)
    assert norm(before) == pytest.approx(float(nn.utils.get_total_norm(list(network.parameters()))), rel=1e-6)
    network[1].running_mean += 1
    assert tensor_sums(network) == before
    with torch.no_grad():
        network[0].weight[0] = network[0].weight[0].flip(0)
    moved = tensor_sums(network)
    assert norm(moved) == pytest.approx(norm(before))
    with torch.no_grad():
        network[0].weight[0, 0] += 1e-6
    assert tensor_sums(network) != moved
    network.requires_grad_(False)
    assert tensor_sums(network) == []
