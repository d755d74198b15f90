"""Checks of latents and optimizers."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from ..assembly.check_methods import try_latent
from ..device.seeding import preserved_random_state
from ..errors import GankitError
from ..game.returned_values import require_latents
from ..interfaces import ImageSpec
from ..interfaces.data_spec import data_spec

DIM, COUNT = 8, 5


def check_latent(factory: Callable[..., Any], **params: Any) -> None:
    """Check that a latent distribution draws finite latents [n d], from the given generator alone."""
    latent = factory(DIM, **params)
    for classes in (0, 3):
        try:
            try_latent(latent, DIM, data_spec(ImageSpec(16, 16, 3, classes)))
        except (GankitError, ValueError) as error:
            raise AssertionError(str(error)) from None
        labels = torch.arange(COUNT) % classes if classes else None
        drawn = []
        with preserved_random_state():
            for seed in range(2):
                torch.manual_seed(seed)
                drawn.append(latent.sample(COUNT, labels, torch.Generator().manual_seed(0)))
        try:
            require_latents(drawn[0], COUNT, torch.device("cpu"))
        except GankitError as error:
            raise AssertionError(str(error)) from None
        assert drawn[0].is_floating_point(), f"sample returns {drawn[0].dtype}; expected floating-point latents"
        assert bool(drawn[0].isfinite().all()), "sample returns NaN or infinity"
        assert torch.equal(*drawn), "sample draws other latents with the same `generator`: pass it to every draw"


def check_optimizer(factory: Callable[..., Any], **params: Any) -> None:
    """Check that an optimizer changes parameters, and behaves identically after its state is saved and loaded."""

    def step(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        network(torch.linspace(-1, 1, 12).view(4, 3)).square().mean().backward()
        optimizer.step()

    def build() -> tuple[nn.Module, torch.optim.Optimizer]:
        with preserved_random_state():
            torch.manual_seed(0)
            network = nn.Linear(3, 2)
        optimizer = factory([*network.parameters()], **params)
        kind = type(optimizer).__name__
        assert isinstance(optimizer, torch.optim.Optimizer), (
            f"the factory returns {kind}; expected a torch.optim.Optimizer"
        )
        return network, optimizer

    network, optimizer = build()
    before = [parameter.detach().clone() for parameter in network.parameters()]
    step(network, optimizer)
    unchanged = any(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))
    assert not unchanged, "step() does not change every parameter that has a gradient"
    resumed, other = build()
    resumed.load_state_dict(network.state_dict())
    other.load_state_dict(deepcopy(optimizer.state_dict()))  # which are the optimizer's own tensors
    for pair in ((network, optimizer), (resumed, other)):
        step(*pair)
    same = all(torch.equal(one, two) for one, two in zip(network.parameters(), resumed.parameters(), strict=True))
    assert same, "after its state was saved and loaded, step() gives other parameters"
