"""A trainer with parts that note what a step shows them."""

from __future__ import annotations

import pytest
import torch
from torch import nn


class Probe:
    """A loss that notes what a turn looks like."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bool, bool, bool]] = []

    def discriminator(self, turn):
        self._note(turn)
        return turn.fake_logits.mean() - turn.real_logits.mean()

    def generator(self, turn):
        self._note(turn)
        return -turn.fake_logits.mean()

    def _note(self, turn):
        frozen_d = not any(p.requires_grad for p in turn.discriminator.parameters())
        self.seen.append((turn.player, turn.fake.grad_fn is not None, frozen_d, turn.real.requires_grad))


class Follower:
    """A loss that remembers what ``after`` was shown."""

    def __init__(self) -> None:
        self.turns = []

    def discriminator(self, turn):
        return (turn.fake_logits - turn.real_logits).mean()

    def generator(self, turn):
        self.dtype = (turn.fake.flatten(1) @ turn.fake.flatten(1).T).dtype
        return -turn.fake_logits.mean()

    def after(self, turn):
        self.turns.append(turn)


class Counter:
    """A regularizer whose gradient is known: it pulls one weight by 1."""

    def __init__(self, *, interval: int = 1) -> None:
        self.interval, self.turns = interval, []

    def discriminator(self, turn):
        self.turns.append(turn.images_seen)
        return turn.discriminator.out.bias.sum()


class BothSides:
    """Due in both players' turns; notes which images require gradients."""

    def __init__(self, *, interval: int = 1) -> None:
        self.interval, self.calls = interval, []

    def discriminator(self, turn):
        self.calls.append(("discriminator", turn.real.requires_grad, turn.fake.requires_grad))
        return turn.gradient(turn.real).square().sum()

    def generator(self, turn):
        self.calls.append(("generator", turn.real.requires_grad, turn.fake.requires_grad))
        return turn.generate(count=2).square().mean()


class Doubling(nn.Module):
    """An augmentation with a known derivative."""

    def __init__(self, image):
        super().__init__()
        self.afters: list[str] = []

    def forward(self, images):
        return images * 2

    def after(self, turn):
        assert not torch.is_grad_enabled()
        self.afters.append(turn.player)


@pytest.fixture
def assemble(runtime, recipe, add_components):
    """``assemble(**changes)``: a trainer of networks without batch statistics, unless the changes name others."""
    add_components(
        runtime,
        losses={"probe": Probe, "follower": Follower},
        regularizers={"counter": Counter, "both": BothSides},
        augmentations={"doubling": Doubling},
    )

    def make(**changes):
        plain = {"generator": {"name": "plain"}, "discriminator": {"name": "plain"}}
        return runtime.assemble(recipe(**(plain | changes)))

    make.runtime, make.recipe = runtime, recipe
    return make


@pytest.fixture
def with_follower(assemble):
    """``assemble`` with the loss that remembers."""
    return lambda **changes: assemble(loss={"name": "follower"}, **changes)
