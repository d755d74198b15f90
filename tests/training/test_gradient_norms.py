"""Measuring gradient norms in hooks of the optimizers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from gankit import GradientNorms


class TestGradientNorms:
    def networks(self):
        torch.manual_seed(0)

        class State:
            generator, discriminator = nn.Linear(3, 4), nn.Linear(4, 1)

        state = State()
        state.optimizers = {
            side: torch.optim.SGD(getattr(state, side).parameters(), lr=0.1) for side in ("generator", "discriminator")
        }
        return state

    def update(self, state, side, scale=1.0):
        network = getattr(state, side)
        optimizer = state.optimizers[side]
        optimizer.zero_grad()
        (scale * network(torch.ones(2, network.in_features)).square().sum()).backward()
        expected = torch.cat([p.grad.flatten() for p in network.parameters()]).norm()
        optimizer.step()
        return float(expected)

    def test_the_first_update_of_each_armed_step(self):
        state, norms = self.networks(), GradientNorms()
        norms.attach(state)
        self.update(state, "discriminator")
        assert norms.read() == {}
        norms.enabled = True
        expected = []
        for _ in range(3):
            expected.append(self.update(state, "discriminator"))
            self.update(state, "discriminator", scale=100.0)  # a penalty's own update
            norms.next_step()
        found, size = norms.read()["discriminator"]
        assert found == pytest.approx(sorted(expected)[1], rel=1e-6)
        assert size == pytest.approx(found / math.sqrt(5), rel=1e-6)
        assert norms.read() == {}

    def test_detach_removes_the_hooks(self):
        state, norms = self.networks(), GradientNorms()
        norms.attach(state)
        norms.attach(state)
        norms.enabled = True
        self.update(state, "generator")
        assert len(norms._norms["generator"]) == 1
        norms.read()
        norms.detach()
        norms.enabled = True
        norms.next_step()
        self.update(state, "generator")
        assert norms.read() == {}
